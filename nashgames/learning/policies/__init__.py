"""Every policy by its name: parametrisations of log π, one per module."""

from nashgames.learning.policies.gru import Gru
from nashgames.learning.policies.log_linear import LogLinear
from nashgames.learning.policies.mlp import Mlp, MlpParameters
from nashgames.learning.policies.protocol import Listed, Policy, direction, natural_direction
from nashgames.learning.policies.sequential import Sequential
from nashgames.learning.policies.tabular import Tabular
from nashgames.learning.policies.transformer import Transformer
from nashgames.registry import Registry

__all__ = [
    "POLICIES",
    "Gru",
    "Listed",
    "LogLinear",
    "Mlp",
    "MlpParameters",
    "Policy",
    "Sequential",
    "Tabular",
    "Transformer",
    "direction",
    "natural_direction",
]

POLICIES = Registry(
    "policy",
    {"tabular": Tabular, "log-linear": LogLinear, "mlp": Mlp, "transformer": Transformer, "gru": Gru},
    group="nashgames.policies",
)
