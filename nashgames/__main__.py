"""`python -m nashgames` is the command `nashgames`."""

from nashgames.cli.main import app

app(prog_name="nashgames")
