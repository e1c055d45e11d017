"""COMAL: the proximal-point method on the original game."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.protocol import AnchoredState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class COMAL:
    """COMAL (conceptual prox): π_{k+1} is the equilibrium of the game regularised by τ KL(·‖π_k).

    The inner game is approached by `inner` steps of Nash-MP with its largest proved step h = 2τ, from π_k: two queries
    per inner step, and the inner iterates are reported. It does not use β: it solves the original game (`--target
    original`). It is `proximal-point` without μ. The paper leaves the inner solver open; with magnetic mirror descent
    there, one query per step, it is `mpo`.

    With exact inner equilibria KL(π°‖π_{k+1}) ≤ KL(π°‖π_k) for every equilibrium π° of the original game and every τ,
    and the last iterate converges (proved). That KL never grows in a round holds for the inner iterates too, however
    few they are [derived]: as ⟨q(π), π°⟩ ≥ 0 for every π, a Nash-MP step in the inner game has
    (1+h) KL(π°‖π^{i+1}) ≤ KL(π°‖π^i) + h (KL(π°‖π_k) − KL(π^{i+½}‖π_k)).
    Source: Liu et al. 2024 (arXiv 2410.23223); theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("comal").with_theory_defaults(beta=0)
        >>> solver.tau, solver.inner
        (0.25, 6)
    """

    tau: Annotated[
        float | None, Number("τ, the weight of KL to π_k, any size; default ¼", symbol="τ", above=0, tuned=True)
    ] = None
    inner: Annotated[
        int | None, Number("Nash-MP steps per outer step; default ln 10 / ln(1+2τ), as for proximal-point", least=1)
    ] = None

    name: ClassVar[str] = "comal"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice, as for mpo: an outer step turns a mode ω by 1/|1 − iω/τ|, and costs more for a smaller τ.
        tau = 0.25 if self.tau is None else self.tau
        enough = math.ceil(math.log(10) / math.log1p(2 * tau))
        return dataclasses.replace(self, tau=tau, inner=enough if self.inner is None else self.inner)

    def init(self, game: Game, key: jax.Array) -> AnchoredState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return AnchoredState(game.start, advantage, game.start, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: AnchoredState, key: jax.Array) -> AnchoredState:
        step = 2 * self.tau
        half = simplex.prox(state.log_policy, state.log_anchor, state.advantage, self.tau, step)
        advantage = game.query(half, jax.random.fold_in(key, 0))
        log_policy = simplex.prox(state.log_policy, state.log_anchor, advantage, self.tau, step)
        steps = state.steps + 1
        log_anchor = jnp.where(steps % self.inner == 0, log_policy, state.log_anchor)
        return AnchoredState(log_policy, game.query(log_policy, jax.random.fold_in(key, 1)), log_anchor, steps)

    def log_policy(self, state: AnchoredState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AnchoredState) -> jax.Array | None:
        return state.advantage
