"""Every solver by its name; one algorithm a file."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.tree_util import all_leaves

from nashgames import plugins
from nashgames.core.game import Game
from nashgames.defaults import PARTS, TARGET
from nashgames.errors import NashGamesError, shown
from nashgames.learning.optimisers import OPTIMISERS, falls_over_the_run
from nashgames.learning.policies import POLICIES
from nashgames.learning.policy_gradient import PLAIN, PolicyGradient
from nashgames.registry import Parameter, Registry, Selection, parameters_of, parse, render, wrapped
from nashgames.solvers.adaptive_nash_mp import AdaptiveNashMP
from nashgames.solvers.apmd import APMD
from nashgames.solvers.approximate_nash_mp import ApproximateNashMP
from nashgames.solvers.average import Average
from nashgames.solvers.comal import COMAL
from nashgames.solvers.dpo import DPO
from nashgames.solvers.egpo import EGPO
from nashgames.solvers.extragradient_regret_matching_plus import ExtragradientRegretMatchingPlus
from nashgames.solvers.fictitious_play import FictitiousPlay
from nashgames.solvers.garip import GARIP
from nashgames.solvers.halves import Halves
from nashgames.solvers.inpo import INPO
from nashgames.solvers.inpo_pg import INPOPG
from nashgames.solvers.magnetic_mirror_descent import MagneticMirrorDescent
from nashgames.solvers.mirror_descent import MirrorDescent
from nashgames.solvers.mpo import MPO
from nashgames.solvers.nash_ema import NashEMA
from nashgames.solvers.nash_ema_pg import NashEMAPG
from nashgames.solvers.nash_md import NashMD
from nashgames.solvers.nash_md_pg import NashMDPG
from nashgames.solvers.nash_mp import NashMP
from nashgames.solvers.nash_prox import NashProx
from nashgames.solvers.offline_ipo import OfflineIPO
from nashgames.solvers.omwu import OMWU
from nashgames.solvers.online_ipo import OnlineIPO
from nashgames.solvers.onpo import ONPO
from nashgames.solvers.optimistic_mirror_descent import OptimisticMirrorDescent
from nashgames.solvers.practical_nash_mp import PracticalNashMP
from nashgames.solvers.predictive_regret_matching_plus import PredictiveRegretMatchingPlus
from nashgames.solvers.protocol import Solver
from nashgames.solvers.proximal_point import ProximalPoint
from nashgames.solvers.regret_matching_plus import RegretMatchingPlus
from nashgames.solvers.regularised_gradient import RegularisedGradient
from nashgames.solvers.regularised_optimistic_gradient import RegularisedOptimisticGradient
from nashgames.solvers.secant_nash_mp import SecantNashMP
from nashgames.solvers.smooth_fictitious_play import SmoothFictitiousPlay
from nashgames.solvers.smooth_predictive_regret_matching_plus import SmoothPredictiveRegretMatchingPlus
from nashgames.solvers.sppo import SPPO
from nashgames.solvers.uniform_ipo import UniformIPO

WRAPPERS: Mapping[str, type[Any]] = {"average": Average, "halves": Halves}
"""The wrappers of solvers, as in `average[nash-mp]`. Each has the field `solver`."""

SOLVERS = Registry(
    "solver",
    {
        "nash-mp": NashMP,
        "adaptive-nash-mp": AdaptiveNashMP,
        "secant-nash-mp": SecantNashMP,
        "nash-prox": NashProx,
        "proximal-point": ProximalPoint,
        "approximate-nash-mp": ApproximateNashMP,
        "practical-nash-mp": PracticalNashMP,
        "online-ipo": OnlineIPO,
        "uniform-ipo": UniformIPO,
        "egpo": EGPO,
        "nash-md-pg": NashMDPG,
        "nash-ema-pg": NashEMAPG,
        "offline-ipo": OfflineIPO,
        "dpo": DPO,
        "inpo-pg": INPOPG,
        "mirror-descent": MirrorDescent,
        "nash-md": NashMD,
        "omwu": OMWU,
        "regret-matching-plus": RegretMatchingPlus,
        "predictive-regret-matching-plus": PredictiveRegretMatchingPlus,
        "smooth-predictive-regret-matching-plus": SmoothPredictiveRegretMatchingPlus,
        "extragradient-regret-matching-plus": ExtragradientRegretMatchingPlus,
        "fictitious-play": FictitiousPlay,
        "smooth-fictitious-play": SmoothFictitiousPlay,
        "magnetic-mirror-descent": MagneticMirrorDescent,
        "optimistic-mirror-descent": OptimisticMirrorDescent,
        "nash-ema": NashEMA,
        "inpo": INPO,
        "sppo": SPPO,
        "onpo": ONPO,
        "mpo": MPO,
        "comal": COMAL,
        "garip": GARIP,
        "apmd": APMD,
        "regularised-gradient": RegularisedGradient,
        "regularised-optimistic-gradient": RegularisedOptimisticGradient,
    },
    group="nashgames.solvers",
    wrappers=WRAPPERS,
)

__all__ = [
    "EGPO",
    "SOLVERS",
    "WRAPPERS",
    "AdaptiveNashMP",
    "ApproximateNashMP",
    "Average",
    "ExtragradientRegretMatchingPlus",
    "FictitiousPlay",
    "Halves",
    "MirrorDescent",
    "NashEMAPG",
    "NashMD",
    "NashMDPG",
    "NashMP",
    "NashProx",
    "OnlineIPO",
    "PracticalNashMP",
    "PredictiveRegretMatchingPlus",
    "ProximalPoint",
    "RegretMatchingPlus",
    "SecantNashMP",
    "SmoothFictitiousPlay",
    "SmoothPredictiveRegretMatchingPlus",
    "Solver",
    "UniformIPO",
    "make_solver",
]


GRADIENTS = tuple(name for name, kind in SOLVERS.items() if "learner" in {f.name for f in dataclasses.fields(kind)})
"""The solvers that climb the gradient of a parametrised policy: any policy, any optimiser."""


def make_solver(text: str) -> Solver:
    """The solver that a text selects.

    Args:
        text: a name with or without parameters: `nash-mp`, `nash-prox[eta=0.05,inner=40]`, `average[mirror-descent]`,
            or `mine.py:MySolver`

    Raises:
        NashGamesError: for an unknown solver or parameter, or a number that is not accepted.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("nash-mp[eta=0.2]").eta
        0.2
    """
    selection = parse(text)
    if selection.name not in WRAPPERS:
        solver: Solver = SOLVERS.make(selection)
        check_members(solver, selection.name)
        return solver
    wrapper = WRAPPERS[selection.name]
    if selection.parameters or len(selection.positional) != 1:
        raise NashGamesError(
            f"{selection.name} wraps one solver, and '{text}' names {len(selection.positional) or 'none'}; write "
            f"{selection.name}[{wrapper.example}]"
        )
    wrapping: Solver = wrapper(make_solver(selection.positional[0]))
    wrapping.check()  # type: ignore[attr-defined]
    return wrapping


def compose(solver: Solver, *, policy: str = PARTS["policy"], optimiser: str = PARTS["optimiser"]) -> Solver:
    """The solver with this policy and this optimiser.

    Raises NashGamesError for a name that does not exist, and for a policy or an optimiser of a solver that is no policy
    gradient.
    """
    parts = PolicyGradient(POLICIES.make(policy), OPTIMISERS.make(optimiser))
    inner = _unwrapped(solver)
    if hasattr(inner, "learner"):
        return _rewrapped(solver, dataclasses.replace(inner, learner=parts))
    for key, part, plain in (("policy", parts.policy, PLAIN.policy), ("optimiser", parts.optimiser, PLAIN.optimiser)):
        if part != plain:
            raise NashGamesError(
                f"{key} is '{part.name}', but {inner.name} updates the policy in closed form; use {plain.name}, or a "
                f"policy gradient: {', '.join(GRADIENTS)}"
            )
    return solver


def parts_of(solver: Solver) -> dict[str, Selection]:
    """Policy and optimiser of a solver as canonical text, as `compose` takes them."""
    parts = _learner(solver)
    return {"policy": POLICIES.text(parts.policy), "optimiser": OPTIMISERS.text(parts.optimiser)}


def features_of(solver: Solver) -> tuple[str, int | None] | None:
    """Kind and dimension of the features that the solver's policy uses; None for a tabular policy."""
    policy: Any = _learner(solver).policy
    return (policy.features, policy.dimension) if hasattr(policy, "features") else None


def random_init(solver: Solver) -> bool:
    """Whether the initial parameters of the policy are drawn from the seed."""
    return _learner(solver).policy.random_init


def is_plain(solver: Solver) -> bool:
    """Whether the default parameters are those of theory: a tabular policy, moved by plain steps."""
    return _learner(solver) == PLAIN


def hyperparameters(solver: Solver) -> dict[str, Any]:
    """The solver's numbers by their names (those of the wrapped solver for a wrapper); None where left to theory."""
    return {key: value for key, value in vars(_unwrapped(solver)).items() if key != "learner"}


def step_source(asked: Solver, filled: Solver) -> str:
    """Where the step of a solver comes from: `given`, the `curvature`, `theory`, or a `default`.

    `asked` is the solver as it was given and `filled` the same with its defaults, where None is left for a step that
    follows the curvature. Given are numbers that differ from the default of their field; theory fills in those left at
    None, and vouches for them where a table is moved by plain steps, unless the solver itself says by `default_source`
    that they are a rule of thumb.
    """
    inner: Any = _unwrapped(asked)
    if follows_curvature(filled):
        return "curvature"
    declared = parameters_of(type(inner))
    defaults = {field.name: field.default for field in dataclasses.fields(inner)}
    numbers = {key: value for key, value in hyperparameters(inner).items() if not _is_word(declared.get(key), value)}
    if any(value is not None and value != defaults[key] for key, value in numbers.items()):
        return "given"
    vouches = is_plain(asked) and all(value is None for value in numbers.values())
    return str(getattr(inner, "default_source", "theory")) if vouches else "default"


def solves_original(solver: Solver) -> bool:
    """Whether the solver converges to an equilibrium of the original game."""
    return getattr(_unwrapped(solver), "fixed_point", TARGET) == "original"


def is_defined(solver: Solver, beta: float) -> bool:
    """Whether the solver can be played at β; at 0 only if it does not use β.

    These are the solvers of the original game, and those with `uses_beta` false, to which every parameter that depends
    on β was given.
    """
    return beta > 0 or solves_original(solver) or not getattr(_unwrapped(solver), "uses_beta", True)


def tuned_parameters(solver: Solver) -> dict[str, Parameter]:
    """The parameters that the solver declares `tuned`, of which tuning searches the best value."""
    declared = SOLVERS.parameters(type(_unwrapped(solver)))
    return {name: parameter for name, parameter in declared.items() if parameter.tuned}


def is_given(solver: Solver, name: str) -> bool:
    """Whether a number of the solver is another than the default of its field."""
    inner: Any = _unwrapped(solver)
    return bool(getattr(inner, name) != next(f.default for f in dataclasses.fields(inner) if f.name == name))


def with_number(solver: Solver, name: str, value: float) -> Solver:
    """The solver with another value of one of its numbers; NashGamesError for one that it does not accept."""
    inner = dataclasses.replace(_unwrapped(solver), **{name: value})
    SOLVERS.check(inner)
    return _rewrapped(solver, inner)


def names_of(solver: Solver) -> tuple[str, str]:
    """The name by which the solver, or the one it is written around, is selected, and the one that it gives itself."""
    inner: Any = _unwrapped(solver)
    return SOLVERS.name_of(inner), str(inner.name)


def follows_curvature(filled: Solver) -> bool:
    """Whether a solver with its defaults takes its step from the curvature at every iterate."""
    learner = getattr(_unwrapped(filled), "learner", None)
    return learner is not None and learner.knows_curvature and hyperparameters(filled).get("step", 0) is None


def has_open_horizon(solver: Solver) -> bool:
    """Whether the step of the solver's optimiser falls over as many steps as its run has (`with_horizon`)."""
    return falls_over_the_run(_learner(solver).optimiser)


def with_horizon(solver: Solver, steps: int) -> Solver:
    """The solver in a run of this many steps, over which its step falls where no other horizon was given."""
    if not has_open_horizon(solver):
        return solver
    inner: Any = _unwrapped(solver)
    optimiser: Any = dataclasses.replace(inner.learner.optimiser, horizon=steps)
    return _rewrapped(
        solver, dataclasses.replace(inner, learner=dataclasses.replace(inner.learner, optimiser=optimiser))
    )


def selection_of(solver: Solver) -> Selection:
    """The canonical text that selects this solver again, without its parts (`parts_of`)."""
    if type(solver) in WRAPPERS.values():
        wrapping: Any = solver
        return wrapped(wrapping.word, selection_of(wrapping.solver))
    return render(SOLVERS.name_of(solver), {k: v for k, v in hyperparameters(solver).items() if v is not None})


def paid_steps(solver: Any, steps: np.ndarray) -> np.ndarray:
    """Of so many first steps those whose comparisons were new: all, unless the solver reads pairs again."""
    inner = _unwrapped(solver)
    paid: np.ndarray = inner.paid(steps) if hasattr(inner, "paid") else steps
    return paid


def check(solver: Solver) -> None:
    """Raise NashGamesError unless every number of the solver is accepted."""
    SOLVERS.check(_unwrapped(solver))


def check_members(given: Any, name: str | None = None) -> None:
    """Raise NashGamesError unless an object, maybe selected by `name`, has a solver's members and is a pytree."""
    if isinstance(given, type):
        raise NashGamesError(f"a solver is {shown(given)}, a class; give an object of it: {given.__name__}()")
    if not isinstance(given, Solver):
        if name is not None and isinstance(given, Game):
            raise NashGamesError(f"'{name}' is a game, not a solver; write nashgames run {name}")
        missing = [name for name in vars(Solver) if not name.startswith("_") and not hasattr(given, name)]
        if name is not None:
            raise NashGamesError(
                f"'{name}' is not a solver: it has no {', '.join(missing)}; name a class with the members of ng.Solver"
            )
        raise NashGamesError(
            f"a solver is {shown(given)}, which has no {', '.join(missing)}; give a name ({', '.join(SOLVERS)}) or an "
            f"object with the methods of ng.Solver"
        )
    if all_leaves([given]):
        raise NashGamesError(
            f"the solver '{given.name}' is not a pytree; put @jax.tree_util.register_dataclass over its frozen "
            f"dataclass"
        )


def with_theory_defaults(solver: Solver, beta: float, *, sampled: bool = False) -> Solver:
    """The solver with all its numbers for this β; with `sampled` those for learning from duels.

    Raises NashGamesError where the code of a user's solver fails, and for a policy that divides a batch without any.
    """
    inner = _unwrapped(solver)
    if sampled and hasattr(inner, "learner"):
        solver = _rewrapped(
            solver, dataclasses.replace(inner, learner=dataclasses.replace(inner.learner, sampled=True))
        )
    elif hasattr(inner, "learner") and getattr(inner.learner.policy, "accumulate", 1) > 1:
        policy = inner.learner.policy
        raise NashGamesError(
            f"{policy.name}[accumulate] is {policy.accumulate}, but exact feedback draws no batch to divide; "
            "leave it out, or use the feedback duels"
        )
    with plugins.explaining(f"the solver '{solver.name}'", solver):
        return solver.with_theory_defaults(beta)


def is_ours(solver: Solver) -> bool:
    """Whether the solver can be selected by name."""
    return SOLVERS.knows(type(_unwrapped(solver)))


def _is_word(parameter: Parameter | None, value: Any) -> bool:
    """Whether a value is a choice between words, which is no number."""
    return isinstance(value, str) if parameter is None else parameter.kind is str


def _unwrapped(solver: Any) -> Any:
    return _unwrapped(solver.solver) if type(solver) in WRAPPERS.values() else solver


def _rewrapped(solver: Any, inner: Any) -> Any:
    """The wrappers of `solver` around `inner`."""
    if type(solver) not in WRAPPERS.values():
        return inner
    return dataclasses.replace(solver, solver=_rewrapped(solver.solver, inner))


def _learner(solver: Any) -> PolicyGradient:
    parts: PolicyGradient = getattr(_unwrapped(solver), "learner", PLAIN)
    return parts


ORIGINALS = tuple(name for name in SOLVERS if solves_original(make_solver(name)))
"""The solvers that go to the original game as they are selected by name alone."""
