"""How A is stored, behind one small protocol: entries, tiles, factors or a formula; another one is one more file."""

from nashgames.core.margins.dense import DenseMargins
from nashgames.core.margins.formulas import Blotto, Formula, Logistic, Voters
from nashgames.core.margins.half import HalfMargins
from nashgames.core.margins.low_rank import LowRankMargins
from nashgames.core.margins.packed import PackedHalfMargins, PackedMargins
from nashgames.core.margins.products import STORAGES, Multiplies, product, restored
from nashgames.core.margins.protocol import ENTRIES, PRODUCT, Margins, stack
from nashgames.core.margins.sharded import ShardedMargins, beside
from nashgames.core.margins.streamed import StreamedMargins
from nashgames.core.margins.tiles import MOST_DENSE, TILE, check_margins, empty, fill_skew, tiles_above
from nashgames.core.margins.written import WrittenMargins

__all__ = [
    "ENTRIES",
    "MOST_DENSE",
    "PRODUCT",
    "STORAGES",
    "TILE",
    "Blotto",
    "DenseMargins",
    "Formula",
    "HalfMargins",
    "Logistic",
    "LowRankMargins",
    "Margins",
    "Multiplies",
    "PackedHalfMargins",
    "PackedMargins",
    "ShardedMargins",
    "StreamedMargins",
    "Voters",
    "WrittenMargins",
    "beside",
    "check_margins",
    "empty",
    "fill_skew",
    "product",
    "restored",
    "stack",
    "tiles_above",
]
