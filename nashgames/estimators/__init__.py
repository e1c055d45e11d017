"""What samples tell of policies whose games are too large to enumerate: estimates with confidence intervals."""

from nashgames.estimators.intervals import Estimate
from nashgames.estimators.policies import kl, suboptimality, win_rate
from nashgames.estimators.sequences import distinct, length, repeated

__all__ = ["Estimate", "distinct", "kl", "length", "repeated", "suboptimality", "win_rate"]
