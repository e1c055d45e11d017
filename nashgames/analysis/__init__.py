"""Rows of finished runs → numbers."""
