"""What is played where nobody says otherwise: the one home of these names (standard library only)."""

from collections.abc import Mapping

PARTS: Mapping[str, str] = {"feedback": "exact", "policy": "tabular", "optimiser": "sgd"}
"""What a query tells, what a policy gradient moves, and how: the exact advantage, a table, plain steps."""

SMALLEST_BETA = 1e-12
"""The smallest β above 0: below it q/β has no digits, as q is exact to 1e-17."""

START = "reference"
TARGET = "regularised"

AUTO = "auto"
"""The storage that is chosen by the game and its number of actions."""

STORAGES = ("dense", "half", "packed", "packed-half", "lowrank", "streamed", "sharded", "written")
"""The names of the storages of margins (`core.margins.STORAGES`)."""
UNLISTED = "written"
"""The storage of games whose actions are sequences that are not listed."""

# Far above ½, the largest margin, where every equilibrium is the reference to four digits; beyond, β² may overflow.
LARGEST_BETA = 1e6
"""The largest β that is accepted."""

RUN: Mapping[str, str] = {**PARTS, "start": START, "target": TARGET}
"""Columns of a run that rows from before there was a choice do not have, and what they would have said."""

TUNING, REPORTED, BOTH, ASKED = "tuning", "reported", "both", "asked"
"""What a run is there for: to try a step, to be reported, both where a game is the same for every seed, or to show
besides the tuned solver, the solver as it was given."""

REFEREE = "referee"
"""What stands for a solver in the rows of an exact equilibrium."""

CACHE_OFF = ("off", "0", "none", "false")
"""Values of NASHGAMES_CACHE, which names a cache folder, with which nothing is kept there."""

REPLAY = "5%"
"""The runs that `verify` plays again, one of twenty: whoever changed 1 % of 1,000 runs is found with a probability of
40 %, 10 % of them with 99 %."""

ENDLESS = 2**31 - 1
"""Steps that no run has more of, as they are counted in 32 bits: what stands for "never" in a number of them."""
