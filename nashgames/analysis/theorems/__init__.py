"""The theorems: the proved bounds for a run (`laws`), and whether the measured iterates obey them (`judge`)."""

from nashgames.analysis.theorems.judge import INEQUALITIES, LEVEL, Verdict, verdict
from nashgames.analysis.theorems.laws import (
    EGPO,
    HALVES,
    NASH_MP,
    PROXIMAL_POINT,
    SOLVERS,
    Law,
    kl_bound,
    law_of,
    laws_of,
    queries_of,
)

__all__ = [
    "EGPO",
    "HALVES",
    "INEQUALITIES",
    "LEVEL",
    "NASH_MP",
    "PROXIMAL_POINT",
    "SOLVERS",
    "Law",
    "Verdict",
    "kl_bound",
    "law_of",
    "laws_of",
    "queries_of",
    "verdict",
]
