"""How A is stored, behind one small protocol: an array `[n, n]`, or thin factors; another storage is one more file."""

from nashgames.core.margins.dense import MOST_DENSE, DenseMargins
from nashgames.core.margins.low_rank import LowRankMargins
from nashgames.core.margins.protocol import ENTRIES, PRODUCT, Margins, stack
from nashgames.core.margins.tiles import TILE, check_margins, empty, fill_skew, tiles_above

__all__ = [
    "ENTRIES",
    "MOST_DENSE",
    "PRODUCT",
    "TILE",
    "DenseMargins",
    "LowRankMargins",
    "Margins",
    "check_margins",
    "empty",
    "fill_skew",
    "stack",
    "tiles_above",
]
