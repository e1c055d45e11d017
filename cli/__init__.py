"""The terminal: typer and rich, thin commands."""
