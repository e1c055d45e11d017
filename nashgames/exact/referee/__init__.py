"""The referee: the exact equilibrium of a preference game at every β, in float64 on the host.

It shares no code with the solvers that it judges.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from nashgames.core.game import Game
from nashgames.core.margins import WrittenMargins
from nashgames.core.next_tokens import Chains
from nashgames.defaults import SMALLEST_BETA
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import Certificate, certify
from nashgames.exact.closest import nats_from_closest
from nashgames.exact.referee.faces import nearest_of
from nashgames.exact.referee.libraries import one_thread
from nashgames.exact.referee.limit import limit
from nashgames.exact.referee.newton import tolerance
from nashgames.exact.referee.regularised import regularised, regularised_together
from nashgames.exact.referee.system import Matrix
from nashgames.exact.referee.together import Together, stacked
from nashgames.reprs import MOST_ROWS, Panel

# At β = 0: regret relative to the margins among those who play, where a sum over n actions rounds at n·1e-16.
_REGRET = 1e-10
# Nats by which a log-probability at β = 0 may be off.
_NATS = 1e-8
# A product with A in wide numbers takes a tenth of a second at that many actions: as long as a cell may take to show.
_QUICK = 2000


class Equilibrium(NamedTuple):
    """An exact equilibrium π*_β, and how exact it is.

    Attributes:
        beta: β; 0 is the original game
        log_policy: log π*_β in nats, float64, `[n]`, over contexts `[m, n]`; −inf outside the support at β = 0; of
            sequences that are not listed `Chains`
        residual: max_i |log π − log BR_β(π)|_i, at β = 0 the exploitability max_i (Aπ)_i; the largest over contexts
        solves: linear systems solved since the path began, for all contexts together
        regret: at β = 0 the largest |(Aπ)_i| of an action that is played, or (Aπ)_i of another one, relative to the
            margins between the actions that are played
        error: at β = 0 how much log π may differ from the equilibrium closest to the reference, in nats; inf where
            that is not known
        inside: at β = 0 an equilibrium that plays every action that some equilibrium plays, `[m, n]`; None where there
            is only one equilibrium
        game: what it is an equilibrium of
        products: vectors that all of A was multiplied with since the path began, for all contexts together

    Example:
        >>> import nashgames as ng
        >>> found = ng.equilibrium(ng.games.circulant(actions=3), 0.1)
        >>> found.labels, found.policy.round(4).tolist(), found.converged
        (('rock', 'scissors', 'paper'), [0.3333, 0.3333, 0.3333], True)
    """

    beta: float
    log_policy: Any
    residual: float
    solves: int
    regret: float = 0.0
    error: float = 0.0
    inside: np.ndarray | None = None
    game: Game | None = None
    products: int = 0

    @property
    def policy(self) -> np.ndarray:
        """π*_β, probabilities `[n]`, `[m, n]` over contexts."""
        policy: np.ndarray = np.exp(self.log_policy)
        return policy

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the actions, their numbers where they have none."""
        named = None if self.game is None else self.game.description.labels
        return tuple(map(str, range(self.log_policy.shape[-1]))) if named is None else named

    @property
    def certificate(self) -> Certificate:
        """The certificate of the policy in its game, computed from the policy alone.

        Raises NashGamesError where the game is not known.
        """
        if self.game is None:
            raise NashGamesError("this equilibrium does not know its game; use certify(game, equilibrium.log_policy)")
        return certify(self.game, self.log_policy, self.beta)

    def __repr__(self) -> str:
        return self._panel().text()

    def _repr_html_(self) -> str:
        return self._panel().html()

    def _panel(self) -> Panel:
        name = "" if self.game is None else f" of {self.game.description.name}"
        quality = "exact to rounding" if self.converged else "not exact"
        effort = f"{self.solves:,} linear solves, {self.products:,} products"
        facts = [("quality", f"{quality}: residual {self.residual:.1e}, {effort}")]
        if self.game is not None and self.game.actions <= _QUICK:
            found = self.certificate
            told = f"suboptimality {found.suboptimality:.1e}, exploitability {found.exploitability:.1e}"
            facts.append(("certificate", told))
        title = f"Equilibrium{name} at β {self.beta:g}"
        if self.log_policy.ndim > 1:
            return Panel(title, [*facts, ("policy", f"{list(self.log_policy.shape)}: contexts, actions")])
        best = np.argsort(-self.log_policy, kind="stable")[:MOST_ROWS]
        rows = [(self.labels[i], f"{self.policy[i]:.4g}") for i in best]
        left = len(self.log_policy) - len(best)
        return Panel(title, facts, ("action", "probability"), rows, f"and {left:,} more" if left else "")

    @property
    def converged(self) -> bool:
        """Whether the residual is at the rounding of q(π)/β in float64; at β = 0, regret and error at theirs."""
        if self.beta == 0:
            return self.residual <= _REGRET and self.regret <= _REGRET and self.error <= _NATS
        terms = self.log_policy.log_steps.size if isinstance(self.log_policy, Chains) else self.log_policy.shape[-1]
        return bool(self.residual <= tolerance(self.beta, terms))


def equilibrium(game: Game, beta: float | None = None) -> Equilibrium:
    """The unique symmetric equilibrium π*_β of a game (theory §1, §7).

    At β = 0 it is the limit of π*_β as β falls: of all equilibria of the original game the one closest to the
    reference in KL, of maximum entropy where μ is uniform.

    Args:
        game: the game
        beta: β ≥ 0; that of the game unless given

    Raises:
        NashGamesError: for a β that is negative, not finite, or below 1e-12 and not 0.

    Example:
        >>> import nashgames as ng
        >>> import numpy as np
        >>> game = ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2)
        >>> np.exp(ng.equilibrium(game, 0.0).log_policy).round(4).tolist()
        [0.3333, 0.2222, 0.4444]
    """
    return next(equilibrium_path(game, [float(game.beta) if beta is None else beta]))


def equilibrium_path(game: Game, betas: Iterable[float]) -> Iterator[Equilibrium]:
    """π*_β for several β, warm-started from the largest to the smallest.

    From the equilibrium before, Newton's method is tried first; where that is too far, the interior-point method starts
    anew, restricted to the actions with non-negligible probability. An equilibrium that could not be made exact is
    returned with the residual it has.

    Args:
        game: the game
        betas: every β ≥ 0, in any order; each is solved once

    Returns:
        An iterator over the equilibria, from the largest β to the smallest.

    Raises:
        NashGamesError: for a β that is negative, not finite, or below 1e-12 and not 0.

    Example:
        >>> import nashgames as ng
        >>> game = ng.games.circulant(actions=3)
        >>> [found.beta for found in ng.equilibrium_path(game, [0.1, 1.0])]
        [1.0, 0.1]
    """
    for (found,) in _together([game], falling(betas)):
        yield found


def equilibrium_paths(games: Sequence[Game], betas: Iterable[float]) -> list[tuple[Equilibrium, ...]]:
    """`equilibrium_path` of several games, each with the bits that it has alone: small games cost little together."""
    return list(zip(*_together(games, falling(betas)), strict=True))


def falling(betas: Iterable[float]) -> list[float]:
    """The β of a path, each once, from the largest to the smallest.

    Raises NashGamesError for a β that is negative, not finite, or so small that float64 cannot tell its answers apart.
    """
    targets = sorted(set(map(float, betas)), reverse=True)
    for beta in targets:
        if not (beta == 0 or SMALLEST_BETA <= beta < np.inf):
            raise NashGamesError(f"beta is {beta:g}; accepted: 0, or a finite number of at least {SMALLEST_BETA:g}")
    return targets


def nearest(game: Game, found: Equilibrium) -> Callable[[np.ndarray], np.ndarray]:
    """What gives, for log π `[n]` (`[m, n]` over contexts), the equilibrium at β = 0 that is least in KL(·‖π).

    `found` is an equilibrium of the original game. Where π has zeros the answer is the least of the equilibria that
    play none of these actions, and where there is none `found` itself. It is NaN in a context where it is not known.
    """
    return nearest_of(game, found.log_policy, found.inside)


def _inside(solutions: Sequence[Equilibrium]) -> np.ndarray | None:
    """Equilibria inside the faces of the contexts `[m, n]`; None where each has one alone."""
    if all(solution.inside is None for solution in solutions):
        return None
    return np.stack([np.exp(s.log_policy) if s.inside is None else s.inside for s in solutions])


def _error(game: Game, log_policy: np.ndarray, solutions: Sequence[Equilibrium]) -> float:
    """How far log π may be off, also by what the certificate of the closest equilibrium says, where that is known."""
    error = max(s.error for s in solutions)
    if solutions[0].beta or error == np.inf:
        return error
    with one_thread():
        return max(nats_from_closest(game, log_policy), error)


def _together(games: Sequence[Game], betas: Iterable[float]) -> Iterator[list[Equilibrium]]:
    """The equilibria of the games, at one β after the other; of small games those of all contexts at once, as far as
    Newton's method gets."""
    for game in games:
        if isinstance(game.margins, WrittenMargins):
            raise game.margins.unlisted()
    matrices = [[Matrix(game.margins.of_context(x)) for x in range(game.contexts)] for game in games]
    every = list(chain(*matrices))
    references = [np.asarray(game.log_reference, np.float64).reshape(game.contexts, -1) for game in games]
    log_references = list(chain(*references))
    small: Together | None = None
    before: list[np.ndarray | None] = [None] * len(every)
    for number, beta in enumerate(betas):
        for matrix in every:
            matrix.iterates, matrix.paid = True, matrix.products
        # Without an equilibrium before, and where β is small, it would not be tried.
        if small is None and number <= 1 and any(beta > matrix.largest or number for matrix in every):
            small = stacked(every, log_references)
        with one_thread():
            if not beta:
                solutions = [_limit(*of) for of in zip(every, log_references, before, strict=True)]
            else:
                if small is not None:
                    found = regularised_together(small, every, beta, before)
                else:
                    found = [
                        regularised(*of[:2], beta, of[2]) for of in zip(every, log_references, before, strict=True)
                    ]
                solutions = [
                    Equilibrium(beta, log_policy, residual, matrix.solves, products=matrix.products)
                    for (log_policy, residual), matrix in zip(found, every, strict=True)
                ]
        before, left, answer = [solution.log_policy for solution in solutions], iter(solutions), []
        for game, own in zip(games, matrices, strict=True):
            parts = [*islice(left, len(own))]
            log_policy = np.stack([part.log_policy for part in parts]).reshape(np.shape(game.log_reference))
            answer.append(
                Equilibrium(
                    beta=beta,
                    log_policy=log_policy,
                    residual=max(part.residual for part in parts),
                    solves=sum(part.solves for part in parts),
                    products=sum(part.products for part in parts),
                    regret=max(part.regret for part in parts),
                    error=_error(game, log_policy, parts),
                    inside=_inside(parts),
                    game=game,
                )
            )
        yield answer


def _limit(matrix: Matrix, log_reference: np.ndarray, before: np.ndarray | None) -> Equilibrium:
    """One context's equilibrium at β = 0."""
    log_policy, residual, regret, error, inside = limit(matrix, log_reference, before)
    return Equilibrium(0.0, log_policy, residual, matrix.solves, regret, error, inside, products=matrix.products)
