"""Experiments: the grid that the user gives, the runs that it stands for, and the runner."""
