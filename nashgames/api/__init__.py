"""The same from a notebook: `solve(game, solvers)` → DataFrames and a figure."""

from nashgames.api.given import load
from nashgames.api.results import Result, read, report
from nashgames.api.solving import solve
from nashgames.api.sweeping import sweep

__all__ = ["Result", "load", "read", "report", "solve", "sweep"]
