"""Small games and plain NumPy second ways of computing, written apart from the library."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.game import Game, make_game
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.exported import classes_of
from nashgames.engine.settings import Settings
from nashgames.exact.referee import equilibrium
from nashgames.solvers import Solver, make_solver

REFERENCE = Path(__file__).parent / "reference"

ROCK_PAPER_SCISSORS = np.array([[0, 0.5, -0.5], [-0.5, 0, 0.5], [0.5, -0.5, 0]])


SMALL = {"vocabulary": 3, "length": 2, "contexts": 1}
"""What makes 13 sequences and one prompt of a sequence game."""


def small(selection: str) -> dict[str, int]:
    """Of SMALL what the selection of a sequence game does not give; nothing of other games."""
    given = SMALL if selection.startswith("sequence-") else {}
    return {key: value for key, value in given.items() if f"{key}=" not in selection}


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return e / e.sum()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max() - np.log(np.sum(np.exp(logits - logits.max())))


def random_margins(rng: np.random.Generator, n: int, sharpness: float = 1.0) -> np.ndarray:
    gaussian = rng.normal(size=(n, n))
    return 0.5 * np.tanh(sharpness * (gaussian - gaussian.T) / np.sqrt(8))


def random_game(rng: np.random.Generator, n: int, beta: float, spread: float = 1.0) -> Game:
    return make_game(
        random_margins(rng, n, sharpness=rng.choice([0.3, 1.0, 10.0])),
        beta=beta,
        log_reference=log_softmax(spread * rng.normal(size=n)),
    )


def kl(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL(p‖q) over the last axis, from logarithms, as a sum of non-negative terms."""
    r = log_q - log_p
    # The branch is chosen before exponentiating (theory §2): a trial step may send log p far below underflow.
    above, below = np.maximum(r, 0), np.minimum(r, 0)
    terms = np.where(
        r > 0, np.exp(log_q) * (-np.expm1(-above) - above * np.exp(-above)), np.exp(log_p) * (np.expm1(below) - below)
    )
    near = np.clip(r, -1e-4, 1e-4)
    return np.sum(np.where(np.abs(r) < 1e-4, np.exp(log_p) * (near**2 / 2 + near**3 / 6), terms), axis=-1)


def arrays(tree, dtype: str = "float64"):
    """The tree with its numbers as JAX arrays of this type, counts as integers."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, None if isinstance(leaf, int) else dtype), tree)


def value_of_deviation(game: Game, other: np.ndarray, policy: np.ndarray) -> float:
    """P_β(other ≻ policy) − ½ straight from its definition (theory §1), in probabilities."""
    margins, mu, beta = np.asarray(game.margins.to_dense()), np.exp(game.log_reference), game.beta

    def kl(p: np.ndarray) -> float:
        held = p > 0
        return float(np.sum(p[held] * np.log(p[held] / mu[held])))

    return float(other @ margins @ policy - beta * kl(other) + beta * kl(policy))


def soccer_reference() -> list[dict]:
    return json.loads((REFERENCE / "soccer10_logit_qre.json").read_text())["values"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` of a function of solvers, policies and games; arguments given by name are static.

    JAX may take two objects of one structure for each other (jaxlib 0.10): their classes tell them apart.
    """

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def program(classes: Any, static: Any, arguments: Any) -> Any:
        return function(*arguments, **dict(static))

    @functools.wraps(function)
    def with_classes(*arguments: Any, **static: Any) -> Any:
        return program(tuple(classes_of(jax.tree.structure(arguments))), tuple(static.items()), arguments)

    with_classes._cache_size = program._cache_size  # type: ignore[attr-defined]
    return with_classes


def rps_reference() -> dict:
    return json.loads((REFERENCE / "perturbed_rps.json").read_text())


def measured(game: Game, log_policy: np.ndarray, log_equilibrium: np.ndarray) -> dict[str, float]:
    """Every reported number of a policy of a game without contexts, from its definition in theory §2."""
    margins, log_mu, beta = np.asarray(game.margins.to_dense(), float), np.asarray(game.log_reference), game.beta
    log_policy, policy = np.asarray(log_policy, float), np.exp(np.asarray(log_policy, float))
    q = margins @ policy
    half_gap = beta * np.logaddexp.reduce(log_mu + q / beta) + beta * np.sum(policy * (log_policy - log_mu))
    away = log_policy - log_equilibrium
    return {
        "suboptimality": half_gap,
        "duality_gap": 2 * half_gap,
        "exploitability": q.max(),
        "kl_to_equilibrium": -np.sum(np.exp(log_equilibrium) * away),
        "reverse_kl_to_equilibrium": np.sum(policy * away),
        "span_to_equilibrium": away.max() - away.min(),
        "kl_to_reference": np.sum(policy * (log_policy - log_mu)),
        "entropy": -np.sum(policy * log_policy),
    }


def lane(game: Game, solver: str | Solver, seed: int = 0) -> Lane:
    """One run of a batch on this game, at the game's β."""
    solver = make_solver(solver) if isinstance(solver, str) else solver
    resolved = solver.with_theory_defaults(game.beta)
    return Lane(resolved, game.beta, np.asarray(game.log_reference), equilibrium(game).log_policy, seed)


def played(games: list[Game], lanes: list[list[Lane]], settings: Settings, **options: Any) -> Batch:
    """A batch, advanced to its end."""
    batch = Batch(games, lanes, settings, **options)
    while not batch.finished:
        batch.advance()
    return batch
