"""Every solver by its name; one algorithm a file."""

import dataclasses
from typing import Any

from nashgames.errors import NashGamesError, unknown
from nashgames.learning.feedback import Feedback, make_feedback, selection_of_feedback
from nashgames.learning.optimisers import make_optimiser, selection_of_optimiser
from nashgames.learning.policies import make_policy, selection_of_policy
from nashgames.learning.policy_gradient import PLAIN, Learner
from nashgames.registry import choose, parse, render
from nashgames.solvers.adaptive_nash_mp import AdaptiveNashMP
from nashgames.solvers.approximate_nash_mp import ApproximateNashMP
from nashgames.solvers.average import Average
from nashgames.solvers.egpo import EGPO
from nashgames.solvers.halves import Halves
from nashgames.solvers.mirror_descent import MirrorDescent
from nashgames.solvers.nash_ema_pg import NashEMAPG
from nashgames.solvers.nash_md import NashMD
from nashgames.solvers.nash_md_pg import NashMDPG
from nashgames.solvers.nash_mp import NashMP
from nashgames.solvers.nash_prox import NashProx
from nashgames.solvers.online_ipo import OnlineIPO
from nashgames.solvers.practical_nash_mp import PracticalNashMP
from nashgames.solvers.protocol import Solver
from nashgames.solvers.proximal_point import ProximalPoint
from nashgames.solvers.sampled import Sampled
from nashgames.solvers.secant_nash_mp import SecantNashMP
from nashgames.solvers.uniform_ipo import UniformIPO

SOLVERS: dict[str, type[Any]] = {
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
    "mirror-descent": MirrorDescent,
    "nash-md": NashMD,
}

__all__ = [
    "EGPO",
    "SOLVERS",
    "AdaptiveNashMP",
    "ApproximateNashMP",
    "Average",
    "Halves",
    "MirrorDescent",
    "NashEMAPG",
    "NashMD",
    "NashMDPG",
    "NashMP",
    "NashProx",
    "OnlineIPO",
    "PracticalNashMP",
    "ProximalPoint",
    "Sampled",
    "SecantNashMP",
    "Solver",
    "UniformIPO",
    "make_solver",
]


GRADIENTS = tuple(name for name, kind in SOLVERS.items() if "learner" in {f.name for f in dataclasses.fields(kind)})
"""The solvers that climb the gradient of a parametrised policy: any policy, any optimiser."""


def make_solver(text: str) -> Solver:
    """The solver that `text` selects: `nash-mp`, `nash-prox[eta=0.05,inner=40]`, `average[mirror-descent]`.

    Raises NashGamesError for an unknown solver or parameter, or a number outside its range.
    """
    selection = parse(text)
    if selection.name == "average":
        if selection.parameters or len(selection.positional) != 1:
            raise NashGamesError(f"'{text}' does not say what to average; write average[SOLVER], e.g. average[nash-mp]")
        return Average(make_solver(selection.positional[0]))
    if selection.name == "halves":
        wrapped = make_solver(selection.positional[0]) if len(selection.positional) == 1 else None
        if selection.parameters or not isinstance(wrapped, NashMP):
            raise NashGamesError(
                f"'{text}' names no solver with half steps; write halves[nash-mp], or halves[nash-mp[eta=0.1]]"
            )
        return Halves(wrapped)
    if selection.name not in SOLVERS:
        raise unknown("solver", selection.name, [*SOLVERS, "average", "halves"])
    kind, values = choose("solver", text, SOLVERS)
    solver: Solver = kind(**values)
    check(solver)
    return solver


def compose(solver: Solver, *, feedback: str = "exact", policy: str = "tabular", optimiser: str = "sgd") -> Solver:
    """The solver with these parts in the place of exact feedback, a table and plain steps.

    A policy gradient takes all three; a method that moves the probabilities themselves takes feedback only.
    Raises NashGamesError for a part that does not exist, or one that the solver has no use for.
    """
    parts = Learner(make_policy(policy), make_optimiser(optimiser), make_feedback(feedback))
    return _composed(solver, parts)


def _composed(solver: Any, parts: Learner) -> Any:
    if isinstance(solver, Average):
        return Average(_composed(solver.solver, parts))
    if isinstance(solver, Sampled):
        return _composed(solver.solver, parts)
    if hasattr(solver, "learner"):
        return dataclasses.replace(solver, learner=parts)
    for key, part, plain in (("policy", parts.policy, PLAIN.policy), ("optimiser", parts.optimiser, PLAIN.optimiser)):
        if part != plain:
            raise NashGamesError(
                f"{key} is '{part.name}', but {solver.name} moves probabilities themselves; use {plain.name}, or a "
                f"policy gradient: {', '.join(GRADIENTS)}"
            )
    return Sampled(solver, parts.feedback) if parts.feedback.comparisons else solver


def parts_of(solver: Solver) -> dict[str, str]:
    """What `compose` was given, as canonical text: feedback, policy and optimiser of a solver."""
    parts = _parts(solver)
    return {
        "feedback": selection_of_feedback(parts.feedback),
        "policy": selection_of_policy(parts.policy),
        "optimiser": selection_of_optimiser(parts.optimiser),
    }


def feedback_of(solver: Solver) -> Feedback:
    """What the solver learns from."""
    return _parts(solver).feedback


def comparisons_per_step(solver: Solver, contexts: int = 1) -> int:
    """Duels that one update consumes over all contexts; 0 where feedback is exact."""
    return solver.queries_per_step * feedback_of(solver).comparisons * contexts


def features_of(solver: Solver) -> tuple[str, int | None] | None:
    """What the solver's policy sees of the actions: kind and dimension of features; None for a table."""
    policy: Any = _parts(solver).policy
    return (policy.features, policy.dimension) if hasattr(policy, "features") else None


def is_random(solver: Solver) -> bool:
    """Whether two seeds give two runs on one game: it samples, or its first parameters are drawn."""
    parts = _parts(solver)
    return parts.feedback.comparisons > 0 or parts.policy.name == "mlp"


def is_plain(solver: Solver) -> bool:
    """Whether the defaults of the numbers are those of theory: a table, moved by plain steps."""
    parts = _parts(solver)
    return (parts.policy, parts.optimiser) == (PLAIN.policy, PLAIN.optimiser)


def _parts(solver: Any) -> Learner:
    if isinstance(solver, Average | Halves):
        return _parts(solver.solver)
    if isinstance(solver, Sampled):
        return Learner(feedback=solver.feedback)
    return getattr(solver, "learner", PLAIN)


def hyperparameters(solver: Solver) -> dict[str, Any]:
    """The solver's numbers by their names (those of the wrapped solver for a wrapper); None where left to theory."""
    if isinstance(solver, Average | Halves | Sampled):
        return hyperparameters(solver.solver)
    return {key: value for key, value in vars(solver).items() if key != "learner"}


def step_source(solver: Solver) -> str:
    """Where the numbers of a solver as it was asked for come from: given, theory, or a default beyond theory."""
    # Whom practical-nash-mp plays is no number.
    if any(value is not None for key, value in hyperparameters(solver).items() if key != "opponent"):
        return "given"
    return "theory" if is_plain(solver) else "default"


def selection_of(solver: Solver) -> str:
    """The canonical text that selects this solver again, without its parts (`parts_of`)."""
    if isinstance(solver, Sampled):
        return selection_of(solver.solver)
    if isinstance(solver, Average | Halves):
        return f"{type(solver).__name__.lower()}[{selection_of(solver.solver)}]"
    return render(solver.name, {k: v for k, v in hyperparameters(solver).items() if v is not None})


def check(solver: Solver) -> None:
    """Raise NashGamesError unless every number is finite and positive, `inner` whole, κ and λ at most 1."""
    for key, value in hyperparameters(solver).items():
        if key == "opponent":
            if value not in ("target", "policy"):
                raise NashGamesError(f"{solver.name}[opponent] is '{value}'; accepted: target, policy")
            continue
        if value is None:
            continue
        if not 0 < value < float("inf"):
            raise NashGamesError(f"{solver.name}[{key}] is {value:g}; accepted: a finite number above 0")
        if isinstance(value, int) and value >= 2**31:
            raise NashGamesError(f"{solver.name}[{key}] is {value}; accepted: an integer below {2**31}")
        if key == "memory" and value > 100:
            raise NashGamesError(f"{solver.name}[memory] is {value}; accepted: at most 100 queries")
        if key in ("kappa", "mixture") and value > 1:
            raise NashGamesError(f"{solver.name}[{key}] is {value:g}; accepted: a number in (0, 1]")
