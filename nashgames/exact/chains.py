"""Equilibria of games over sequences that are not listed, where these are Markov chains of tokens.

Under linear margins the judge sees sequences through sums over their tokens, x(y) = start + Σ_t table[t, y_{t−1}, y_t],
and (Aπ)(y) = x(y)·Tz with z = E_π x and T(l, r) = (r, −l). So π*_β ∝ μ(y) e^{x(y)·Tz/β} is a Markov chain of tokens
where μ is one, with steps that depend on the place, and z = E_{π*} x are as many equations as numbers are seen. With C
the covariance of x under the chain of z, their Jacobian is CT/β − 1: C is positive, T skew, so that CT has imaginary
eigenvalues and Newton's method a step everywhere [derived].
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from nashgames.core.game import Game
from nashgames.core.margins import WrittenMargins
from nashgames.core.next_tokens import Chains
from nashgames.errors import NashGamesError
from nashgames.exact.referee import Equilibrium
from nashgames.games.families.scores import Scores

_FALL = 2.0
"""How much β falls from one warm start to the next: Newton's method then takes about five steps."""

_STEPS = 100
"""Steps of Newton's method at one β, at most: five are usual, and short steps at the start may be many."""

_CLOSE = 1e-8
"""How far, in spreads of what is seen, Newton's method is from the end where its whole step cannot overshoot: the root
of the rounding unit."""

_LEAST = 2.0**-30
"""The least share of a step: one that gains nothing at a billionth is rounding."""


def has_chains(game: Game) -> bool:
    """Whether the equilibria of an unlisted game are Markov chains of tokens, which are found here."""
    return isinstance(game.margins, WrittenMargins) and game.margins.judge == "linear"


def chain_path(game: Game, betas: Iterable[float]) -> Iterator[Equilibrium]:
    """π*_β of a game with `has_chains` for several β > 0, from the largest to the smallest; their `log_policy` are
    `Chains` `[m, L, (V+1)^k, V+1]`.

    The `residual` is max_y |log π − log BR_β(π)| over all sequences, which a pass over places finds exactly.
    """
    if not has_chains(game):
        raise NashGamesError(
            f"the {game.actions:,} sequences of {game.description.name} are not listed, and without link=linear their "
            "equilibrium is no chain of tokens; use link=linear, or fewer sequences"
        )
    contexts = [_Context(game, context) for context in range(game.contexts)]
    shape = game.margins.shape[:-2]
    for beta in sorted(set(betas), reverse=True):
        if beta == 0:
            raise NashGamesError(
                f"beta is 0, at which an equilibrium over the {game.actions:,} sequences of {game.description.name} is "
                "not found, as they are not listed; give a beta above 0"
            )
        parts = [context.solve(beta) for context in contexts]
        log_steps = np.stack([chains.log_steps for chains, _ in parts])
        found = Chains(log_steps.reshape(*shape, *log_steps.shape[1:]), game.log_reference.sequences)
        solves = sum(context.solves for context in contexts)
        yield Equilibrium(beta, found, max(residual for _, residual in parts), solves, game=game)


class _Context:
    """One prompt: its judge, its reference, and z at the β that was solved last."""

    def __init__(self, game: Game, context: int) -> None:
        assert isinstance(game.margins, WrittenMargins)
        self._margins = game.margins.of_context(context)
        self._seen = Scores(self._margins.sequences, np.asarray(self._margins.table), np.asarray(self._margins.start))
        steps = np.asarray(game.log_reference.log_steps, np.float64)
        self._reference = Chains(steps.reshape(-1, *steps.shape[-3:])[context], self._margins.sequences)
        self._at, square = self._seen.moments(self._reference.log_steps)
        # What is seen in units of its spread; numbers that all sequences share in their own.
        spread = np.sqrt(np.maximum(np.diag(square) - self._at**2, 0))
        self._units = np.where(spread > 0, spread, 1)
        self._beta = np.inf
        self.solves = 0

    def solve(self, beta: float) -> tuple[Chains, float]:
        """The equilibrium at a β below the last one, and its residual."""
        # At β = 1, twice the largest margin, the equilibrium is near the reference.
        reached = min(self._beta, max(beta, 1.0) * _FALL)
        while reached > beta:
            reached = max(reached / _FALL, beta)
            self._newton(reached)
        self._beta = beta
        tilted, gap, _ = self._moments(self._at, beta)
        return tilted, self._residual(gap, beta)

    def _newton(self, beta: float) -> None:
        """z = E x under the chain of z, until rounding ends what a step gains."""
        _, gap, covariance = self._moments(self._at, beta)
        for _ in range(_STEPS):
            # CT: the columns of r in the place of those of l, these behind them with the other sign.
            of_left, of_right = np.hsplit(covariance, 2)
            turned = np.hstack([-of_right, of_left])
            step = np.linalg.solve(np.eye(len(gap)) - turned / beta, gap)
            self.solves += 1
            share, before = 1.0, self._size(gap)
            while True:
                at = self._at + share * step
                _, gap, covariance = self._moments(at, beta)
                if self._size(gap) < before:
                    break
                # So close to the end the whole step is right, and what it does not gain is rounding.
                if before < _CLOSE or share < _LEAST:
                    return
                share /= 2
            self._at = at

    def _size(self, gap: np.ndarray) -> float:
        return float(np.linalg.norm(gap / self._units))

    def _moments(self, at: np.ndarray, beta: float) -> tuple[Chains, np.ndarray, np.ndarray]:
        """The chain of z, E x − z under it, and the covariance of x."""
        _, table = self._margins.against(at)
        _, tilted = self._reference.tilted(table / beta)
        # About z, which the mean is close to: no digits are lost.
        gap, square = replace(self._seen, start=self._seen.start - at).moments(tilted.log_steps)
        return tilted, gap, square - np.outer(gap, gap)

    def _residual(self, gap: np.ndarray, beta: float) -> float:
        """max_y |log π − log BR_β(π)|: both are chains ∝ μ e^{x·T·/β}, π of z and its best response of E_π x."""
        left, right = np.split(-gap / beta, 2)
        direction = np.hstack([right, -left])
        ends = self._seen.best(np.stack([direction, -direction])) @ direction
        normalisers = []
        for at in (self._at, self._at + gap):
            constant, table = self._margins.against(at)
            log_sum, _ = self._reference.tilted(table / beta)
            normalisers.append(log_sum + constant / beta)
        return float(np.max(np.abs(ends - (normalisers[0] - normalisers[1]))))
