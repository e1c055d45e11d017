"""One page that shows a results directory, or several: everything in one HTML file that opens without a network.

`gather` reads a directory into plain data, `compare` says how two differ, `page` makes the page of them.
"""

from nashgames.reporting.page import Written, write

__all__ = ["Written", "write"]
