"""Optimisers: transformations of optax under the names of the command line."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from nashgames.errors import NashGamesError
from nashgames.registry import Choice, Number, Registry

if TYPE_CHECKING:
    import optax

_STATIC: dict[str, Any] = {"static": True}
SCHEDULES = ("constant", "inverse", "exponential", "linear", "cosine")

Clip = Annotated[float | None, Number("the largest norm of a gradient, over all parameters; default: none", above=0)]
Schedule = Annotated[
    str, Choice("schedule of the step: constant, inverse (1/(1+t/horizon)), exponential, linear, cosine", SCHEDULES)
]
Horizon = Annotated[
    int | None, Number("steps over which it decreases (linear and cosine: to 0); default: those of the run", least=1)
]
Average = Annotated[
    float | None,
    Number("decay of a moving average of the parameters, which is reported; default: none", least=0, below=1),
]


class Optimiser(Protocol):
    """A frozen dataclass, registered as a pytree; gradients are ascended."""

    @property
    def name(self) -> str:
        """The name on the command line."""
        ...

    @property
    def average(self) -> Any:
        """The decay of a moving average of the parameters, None where there is none."""
        ...

    def default_step(self, stable: float) -> float:
        """The default step; `stable` is what theory guarantees for plain gradients of a tabular policy."""
        ...

    def init(self, parameters: Any) -> Any:
        """The optimiser's own state."""
        ...

    def ascend(self, gradient: Any, state: Any, parameters: Any, step: Any) -> tuple[Any, Any]:
        """The parameters and the state after one step."""
        ...


class _Transformed:
    """An optimiser that is one transformation of optax, made anew for every step."""

    def check(self) -> None:
        _check_horizon(self)

    def init(self, parameters: Any) -> Any:
        return self._transformation(1.0).init(parameters)

    def ascend(self, gradient: Any, state: Any, parameters: Any, step: Any) -> tuple[Any, Any]:
        return _ascend(self._transformation(step), gradient, state, parameters)

    def _transformation(self, step: Any) -> "optax.GradientTransformation":
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sgd(_Transformed):
    """Plain gradient ascent θ ← θ + a_t g, with momentum where it is given: g̃ ← g + momentum · g̃."""

    momentum: Annotated[float | None, Number("momentum of the gradient; default: none", least=0, below=1)] = None
    clip: Clip = None
    schedule: Schedule = field(default="constant", metadata=_STATIC)
    horizon: Horizon = None
    average: Average = None

    name: ClassVar[str] = "sgd"

    def default_step(self, stable: float) -> float:
        return stable

    def _transformation(self, step: Any) -> "optax.GradientTransformation":
        import optax

        kept = [] if self.momentum is None else [optax.trace(self.momentum)]
        return optax.chain(*_clipped(self.clip), *kept, *_scaled(step, self.schedule, self.horizon))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Natural(_Transformed):
    """Natural gradient ascent θ ← θ + a_t x along (F + damping) x = g, F = E_π[∇ log π ∇ log πᵀ] the Fisher matrix.

    For a table x is F⁺g in closed form, and the damping has no effect: self-play is mirror descent. For other policies
    x is found by conjugate gradients, from products with F alone (`policies.natural_direction`).
    Source: Amari 1998; Kakade 2002; theory §6.2.
    """

    damping: Annotated[float, Number("added to the Fisher matrix of policies other than tabular", above=0)] = (
        # Features have mean square 1, and so has F a diagonal of about 1: a thousandth of it.
        1e-3
    )
    clip: Clip = None
    schedule: Schedule = field(default="constant", metadata=_STATIC)
    horizon: Horizon = None
    average: Average = None

    name: ClassVar[str] = "natural"

    def default_step(self, stable: float) -> float:
        return stable

    def _transformation(self, step: Any) -> "optax.GradientTransformation":
        import optax

        return optax.chain(*_clipped(self.clip), *_scaled(step, self.schedule, self.horizon))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Adam(_Transformed):
    """Adam (Kingma and Ba 2015): θ ← θ + a_t m̂/(√v̂ + eps) from moving averages m of g and v of g²."""

    # The three numbers are the paper's.
    b1: Annotated[float, Number("decay of the average of g", symbol="b₁", least=0, below=1)] = 0.9
    b2: Annotated[float, Number("decay of the average of g²", symbol="b₂", least=0, below=1)] = 0.999
    eps: Annotated[float, Number("added to √v̂", above=0)] = 1e-8
    clip: Clip = None
    schedule: Schedule = field(default="constant", metadata=_STATIC)
    horizon: Horizon = None
    average: Average = None

    name: ClassVar[str] = "adam"

    def default_step(self, stable: float) -> float:
        # Adam's step has the unit of the parameters: what suits logits and small networks alike.
        return 0.01

    def _transformation(self, step: Any) -> "optax.GradientTransformation":
        import optax

        moments = optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)
        return optax.chain(*_clipped(self.clip), moments, *_scaled(step, self.schedule, self.horizon))


def moves_plainly(optimiser: Optimiser) -> bool:
    """Whether θ moves by the step times the direction alone, as theory assumes."""
    if not isinstance(optimiser, Sgd | Natural):
        return False
    momentum = optimiser.momentum if isinstance(optimiser, Sgd) else None
    return momentum is None and optimiser.clip is None and optimiser.schedule == "constant"


def falls_over_the_run(optimiser: Any) -> bool:
    """Whether the step falls over as many steps as the run has: a schedule whose horizon is not given."""
    return getattr(optimiser, "schedule", "constant") != "constant" and optimiser.horizon is None


def _ascend(transformation: "optax.GradientTransformation", gradient: Any, state: Any, parameters: Any) -> Any:
    # optax counts in integers and raises floats to them, which strict promotion of dtypes would refuse.
    with jax.numpy_dtype_promotion("standard"):
        updates, state = transformation.update(gradient, state, parameters)
    return jax.tree.map(jnp.add, parameters, updates), state


def _clipped(clip: Any) -> list["optax.GradientTransformation"]:
    import optax

    return [] if clip is None else [optax.clip_by_global_norm(clip)]


def _scaled(step: Any, schedule: str, horizon: Any) -> list["optax.GradientTransformation"]:
    import optax

    if schedule == "constant":
        return [optax.scale(step)]
    if horizon is None:
        raise NashGamesError(
            f"schedule is {schedule} and horizon is not given; give horizon, the steps over which it falls"
        )
    # Over a horizon of 1 in units of the horizon, since optax asks for a number that is no leaf.
    shares: dict[str, Callable[[jax.Array], Any]] = {
        "inverse": lambda t: 1 / (1 + t),
        "exponential": optax.exponential_decay(1.0, 1, math.exp(-1)),
        "linear": optax.linear_schedule(1.0, 0.0, 1),
        "cosine": optax.cosine_decay_schedule(1.0, 1),
    }

    def factor(count: jax.Array) -> jax.Array:
        return step * shares[schedule](count.astype(jnp.result_type(float)) / horizon)

    return [optax.scale_by_schedule(factor)]


def _check_horizon(optimiser: Any) -> None:
    if optimiser.horizon is not None and optimiser.schedule == "constant":
        raise NashGamesError(
            f"{optimiser.name}[horizon] is {optimiser.horizon}, but it has no effect with schedule=constant; "
            f"set schedule=… or drop horizon"
        )


OPTIMISERS = Registry("optimiser", {"sgd": Sgd, "natural": Natural, "adam": Adam}, group="nashgames.optimisers")
