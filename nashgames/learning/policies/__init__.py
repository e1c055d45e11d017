"""Every policy by its name: how log π is written with parameters. One parametrisation a file."""

from typing import Any

from nashgames.errors import NashGamesError
from nashgames.learning.features import check_features
from nashgames.learning.policies.log_linear import LogLinear
from nashgames.learning.policies.mlp import Mlp, MlpParameters
from nashgames.learning.policies.protocol import Policy
from nashgames.learning.policies.tabular import Tabular
from nashgames.registry import choose, parameters_of, render

POLICIES: dict[str, type[Any]] = {
    "tabular": Tabular,
    "log-linear": LogLinear,
    "mlp": Mlp,
}

__all__ = [
    "POLICIES",
    "LogLinear",
    "Mlp",
    "MlpParameters",
    "Policy",
    "Tabular",
    "make_policy",
    "selection_of_policy",
]

_LARGEST = {"depth": 100, "width": 10_000}


def make_policy(text: str) -> Policy:
    """The policy that `text` selects: `tabular`, `log-linear[features=own]`, `mlp[width=32]`.

    Raises NashGamesError for an unknown policy or parameter, or a number outside its range.
    """
    kind, values = choose("policy", text, POLICIES)
    policy: Policy = kind(**values)
    check(policy)
    return policy


def selection_of_policy(policy: Policy) -> str:
    """The canonical text that selects this policy again, without what is left at its default."""
    return render(policy.name, vars(policy), parameters_of(type(policy)))


def check(policy: Policy) -> None:
    """Raise NashGamesError unless the policy's features exist and its numbers are in their ranges."""
    if isinstance(policy, LogLinear | Mlp):
        check_features(policy.features, policy.dimension)
    if isinstance(policy, LogLinear) and policy.features == "none":
        raise NashGamesError("log-linear[features] is none, which leaves nothing to learn; use the policy tabular")
    for key, largest in _LARGEST.items():
        value = getattr(policy, key, 1)
        if not 1 <= value <= largest:
            raise NashGamesError(f"{policy.name}[{key}] is {value}; accepted: an integer from 1 to {largest:,}")
