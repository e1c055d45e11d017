"""Small games and plain NumPy second ways of computing, written apart from the library."""

import json
from pathlib import Path

import numpy as np

from nashgames.game import Game, make_game

REFERENCE = Path(__file__).parent / "reference"

ROCK_PAPER_SCISSORS = np.array([[0, 0.5, -0.5], [-0.5, 0, 0.5], [0.5, -0.5, 0]])


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


def value_of_deviation(game: Game, other: np.ndarray, policy: np.ndarray) -> float:
    """P_β(other ≻ policy) − ½ straight from its definition (theory §1), in probabilities."""
    margins, mu, beta = np.asarray(game.margins.to_dense()), np.exp(game.log_reference), game.beta

    def kl(p: np.ndarray) -> float:
        held = p > 0
        return float(np.sum(p[held] * np.log(p[held] / mu[held])))

    return float(other @ margins @ policy - beta * kl(other) + beta * kl(policy))


def soccer_reference() -> list[dict]:
    return json.loads((REFERENCE / "soccer10_logit_qre.json").read_text())["values"]


def rps_reference() -> dict:
    return json.loads((REFERENCE / "perturbed_rps.json").read_text())
