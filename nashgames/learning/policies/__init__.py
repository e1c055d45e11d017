"""Every policy by its name: parametrisations of log π, one per module."""

from nashgames.learning.policies.log_linear import LogLinear
from nashgames.learning.policies.mlp import Mlp, MlpParameters
from nashgames.learning.policies.protocol import Listed, Policy, direction, natural_direction
from nashgames.learning.policies.tabular import Tabular
from nashgames.registry import Registry

__all__ = [
    "POLICIES",
    "Listed",
    "LogLinear",
    "Mlp",
    "MlpParameters",
    "Policy",
    "Tabular",
    "direction",
    "natural_direction",
]

POLICIES = Registry("policy", {"tabular": Tabular, "log-linear": LogLinear, "mlp": Mlp}, group="nashgames.policies")
