"""MPO and NashPG: magnetic mirror descent whose magnet is replaced from time to time."""

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
class MPO:
    """MPO, NashPG for a table: magnetic mirror descent whose magnet ρ becomes π after every `inner` steps.

    π_{t+1} ∝ [π_t ρ^{αh} e^{h q(π_t)}]^{1/(1+αh)} from ρ = π_0, one query per step. It does not use β: it solves the
    original game (`--target original`). For h ≤ α/L², L = ½, each round contracts by 1/(1+αh) a step towards its own
    equilibrium (Sokota et al. 2023), and with exact rounds KL to every original equilibrium falls until one is
    reached, α of any size (proved). With `inner` too few rounds it is plain self-play and grows instead: for the
    defaults all modes shrink near an equilibrium of full support, by |c + (1−c) λ^T|, c = α/(α−iω), λ = (1+ihω)/(1+αh)
    [derived]. It is `comal` with another inner solver, and `apmd` with a = h/(1+αh).
    Source: Wang et al. 2024 (MPO, arXiv 2410.16714), Yu et al. 2025 (NashPG, arXiv 2510.18183); that the paper's
    policy gradient is this closed form for a table, and the numbers, are a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("mpo").with_theory_defaults(beta=0)
        >>> solver.alpha, solver.step, solver.inner
        (0.25, 1.0, 14)
    """

    alpha: Annotated[float | None, Number("α, the weight of the magnet; default ¼", symbol="α", above=0)] = None
    step: Annotated[
        float | None, Number("h, the step on q; default 4α, the largest proved one", symbol="h", above=0, tuned=True)
    ] = None
    inner: Annotated[
        int | None, Number("T, steps between two magnets; default ln 20 / ln(1+αh)", symbol="T", least=1)
    ] = None

    name: ClassVar[str] = "mpo"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice: of α from 0.05 to ½, each with h = 4α and this T, ¼ is within a sixth of the fastest near an
        # equilibrium for every ω from 0.005 to 0.35 (theory §4.6).
        alpha = 0.25 if self.alpha is None else self.alpha
        step = 4 * alpha if self.step is None else self.step
        enough = math.ceil(math.log(20) / math.log1p(alpha * step))
        inner = enough if self.inner is None else self.inner
        return dataclasses.replace(self, alpha=alpha, step=step, inner=inner)

    def init(self, game: Game, key: jax.Array) -> AnchoredState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return AnchoredState(game.start, advantage, game.start, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: AnchoredState, key: jax.Array) -> AnchoredState:
        weight = self.alpha * self.step
        log_policy = simplex.prox(state.log_policy, state.log_anchor, state.advantage, self.alpha, weight)
        steps = state.steps + 1
        log_anchor = jnp.where(steps % self.inner == 0, log_policy, state.log_anchor)
        return AnchoredState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_anchor, steps)

    def log_policy(self, state: AnchoredState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AnchoredState) -> jax.Array | None:
        return state.advantage
