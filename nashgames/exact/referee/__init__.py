"""The referee: the exact equilibrium of a preference game at every β, in float64 on the host.

It shares no code with the solvers that it judges.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from nashgames.core.game import Game
from nashgames.defaults import SMALLEST_BETA
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import Certificate, certify
from nashgames.exact.closest import nats_from_closest
from nashgames.exact.referee.limit import face_of, limit
from nashgames.exact.referee.newton import tolerance
from nashgames.exact.referee.projection import Face
from nashgames.exact.referee.regularised import regularised
from nashgames.exact.referee.system import Matrix
from nashgames.reprs import MOST_ROWS, Panel

# At β = 0: regret relative to the margins among those who play, where a sum over n actions rounds at n·1e-16.
_REGRET = 1e-10
# Nats by which a log-probability at β = 0 may be off.
_NATS = 1e-8
# A product with A in wide numbers takes a tenth of a second at that many actions: as long as a cell may take to show.
_QUICK = 2000


class Equilibrium(NamedTuple):
    """π*_β with what is known of its quality.

    `log_policy` `[n]`, `[m, n]` over contexts, float64; −inf outside the support at β = 0. `residual` is
    max_i |log π − log BR_β(π)|_i, at β = 0 the exploitability max_i (Aπ)_i. `solves` linear systems were solved since
    the path began, all contexts together; the other numbers are the largest over contexts. At β = 0, `regret` is the
    largest |(Aπ)_i| of an action that plays, or (Aπ)_i of another, relative to the margins among those who play, and
    `error` is how many nats log π may differ from the equilibrium closest to the reference, by the referee's own
    account and by its certificate, inf where that is not known; and `inside` `[m, n]` an equilibrium that plays every
    action that any plays, None where there is one alone, as at β > 0. `game` is what it is an equilibrium of.
    """

    beta: float
    log_policy: np.ndarray
    residual: float
    solves: int
    regret: float = 0.0
    error: float = 0.0
    inside: np.ndarray | None = None
    game: Game | None = None

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
        facts = [("quality", f"{quality}: residual {self.residual:.1e}, {self.solves:,} linear solves")]
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
        return bool(self.residual <= tolerance(self.beta, self.log_policy.shape[-1]))


def equilibrium(game: Game, beta: float | None = None) -> Equilibrium:
    """The unique symmetric equilibrium π*_β of `game` at `beta`, its own unless given (theory §1).

    At β = 0 it is the limit of π*_β as β falls: of all equilibria of the original game the one closest to the
    reference in KL, of maximum entropy where μ is uniform.
    """
    return next(equilibrium_path(game, [float(game.beta) if beta is None else beta]))


def equilibrium_path(game: Game, betas: Iterable[float]) -> Iterator[Equilibrium]:
    """π*_β for every β ≥ 0 of `betas`, from the largest to the smallest in one warm-started pass.

    From the equilibrium before, Newton's method is tried first; where it is too far, the interior-point method starts
    anew on the actions that matter. An equilibrium that could not be reached is returned with the residual it has.
    Raises NashGamesError for a β that `falling` refuses.
    """
    targets = falling(betas)
    # One block of all rows: of dense margins that is the array itself, whatever its size.
    contexts = [next(game.margins.of_context(x).blocks(game.actions))[1] for x in range(game.contexts)]
    log_references = np.asarray(game.log_reference, np.float64).reshape(len(contexts), -1)
    paths = [_path(a, mu, targets) for a, mu in zip(contexts, log_references, strict=True)]
    for solutions in zip(*paths, strict=True):
        log_policy = np.stack([s.log_policy for s in solutions]).reshape(np.shape(game.log_reference))
        yield Equilibrium(
            beta=solutions[0].beta,
            log_policy=log_policy,
            residual=max(s.residual for s in solutions),
            solves=sum(s.solves for s in solutions),
            regret=max(s.regret for s in solutions),
            error=max(_nats(game, log_policy, solutions[0].beta), *(s.error for s in solutions)),
            inside=_inside(solutions),
            game=game,
        )


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

    `found` is an equilibrium of the original game. The answer is NaN in a context where π has a 0 that some equilibrium
    plays, or where it is not known to 1e-8 nats.
    """
    inside = np.exp(found.log_policy) if found.inside is None else found.inside
    contexts = [next(game.margins.of_context(x).blocks(game.actions))[1] for x in range(game.contexts)]
    insides = inside.reshape(len(contexts), -1)
    faces = [face_of(Matrix(a), pi) for a, pi in zip(contexts, insides, strict=True)]

    def of_policy(log_policy: np.ndarray) -> np.ndarray:
        log_policies = np.asarray(log_policy, np.float64).reshape(insides.shape)
        with _libraries().limit(limits=1, user_api="blas"):
            stars = [_nearest(*each) for each in zip(faces, insides > 0, log_policies, strict=True)]
        return np.stack(stars).reshape(np.shape(log_policy))

    return of_policy


def _nearest(face: Face, plays: np.ndarray, log_policy: np.ndarray) -> np.ndarray:
    """The equilibrium of one context nearest to log π `[n]`."""
    star = np.where(plays, np.nan, -np.inf)
    if face.single or np.isfinite(log_policy[plays]).all():
        closest = face.closest(log_policy[plays])
        if closest.error <= _NATS:
            star[plays] = closest.log_policy
    return star


def _inside(solutions: Sequence[Equilibrium]) -> np.ndarray | None:
    """Equilibria inside the faces of the contexts `[m, n]`; None where each has one alone."""
    if all(solution.inside is None for solution in solutions):
        return None
    return np.stack([np.exp(s.log_policy) if s.inside is None else s.inside for s in solutions])


@cache
def _libraries() -> ThreadpoolController:
    # SciPy loads its own BLAS with this module, and a controller knows the libraries that are there when it is made.
    importlib.import_module("scipy.linalg")
    return ThreadpoolController()


def _nats(game: Game, log_policy: np.ndarray, beta: float) -> float:
    """What the certificate of the closest equilibrium says where there is one."""
    with _libraries().limit(limits=1, user_api="blas"):
        return nats_from_closest(game, log_policy) if beta == 0 else 0.0


def _path(margins: np.ndarray, log_reference: np.ndarray, betas: Iterable[float]) -> Iterator[Equilibrium]:
    """One context's equilibria."""
    log_policy, solves = None, 0
    for beta in betas:
        matrix = Matrix(margins)
        # Threads of BLAS gain little on these sizes, and wait for each other where other work runs beside.
        with _libraries().limit(limits=1, user_api="blas"):
            if beta:
                log_policy, residual = regularised(matrix, log_reference, beta, log_policy)
                found = Equilibrium(beta, log_policy, residual, matrix.solves)
            else:
                log_policy, residual, regret, error, inside = limit(matrix, log_reference, log_policy)
                found = Equilibrium(beta, log_policy, residual, matrix.solves, regret, error, inside)
        solves += found.solves
        yield found._replace(solves=solves)
