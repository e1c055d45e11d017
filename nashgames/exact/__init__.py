"""Exact equilibria, their certificates, and the external programs they are compared with."""
