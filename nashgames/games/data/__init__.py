"""Small real games that ship with the package (numbers only; see SOURCES.md for origin and licence)."""
