"""APMD: mirror descent on payoffs that are perturbed toward a slingshot strategy."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.steps import mirror_step
from nashgames.registry import Choice, Number
from nashgames.solvers.protocol import AnchoredState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class APMD:
    """APMD: π_{t+1} ∝ π_t e^{a (q(π_t) − α ∇G(π_t, σ))}, whose slingshot σ becomes π after every `inner` steps.

    ∇G = log(π/σ) for G = KL(π‖σ), or 1 − σ/π for G = KL(σ‖π), from σ = π_0; one query per step. It does not use β: it
    solves the original game (`--target original`), with the last iterate's exploitability Õ(1/√T), and Õ(T^{−1/10}) on
    noisy feedback with the decreasing step and rounds of Θ(T^{4/5}) steps (proved). Decreasing is a_s = a/(1 + aαs/2)
    in the s-th step of a round; the paper has 1/(κs + 2θ), here with κ = α/2.
    With KL(π‖σ) and a constant step it is `mpo` with h = a/(1−aα). KL(σ‖π) leaves π_i = σ_i/(1 − q_i/α) at the end of a
    round; a step that lets a probability vanish is answered by σ/π, which may overflow: then the run diverges.
    Source: Abe et al. 2024 (arXiv 2305.16610); κ, the numbers and no multiple of θ are a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("apmd[divergence=reverse-kl]").with_theory_defaults(beta=0)
        >>> solver.alpha, solver.step, solver.inner
        (0.25, 0.8, 15)
    """

    alpha: Annotated[float | None, Number("α, the perturbation's strength; default ¼", symbol="α", above=0)] = None
    step: Annotated[
        float | None, Number("a, the step on q; default 4α/(1+4α²), as for mirror-descent", above=0, tuned=True)
    ] = None
    inner: Annotated[int | None, Number("T, steps between two slingshots; default 3/(aα)", symbol="T", least=1)] = None
    divergence: Annotated[
        str, Choice("G, the perturbation: kl, which is KL(π‖σ), or reverse-kl", ("kl", "reverse-kl"))
    ] = field(default="kl", metadata={"static": True})
    schedule: Annotated[
        str, Choice("the step in a round: constant, or decreasing for noisy feedback", ("constant", "decreasing"))
    ] = field(default="constant", metadata={"static": True})

    name: ClassVar[str] = "apmd"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice, that of mpo: (1−aα)^T is then about e^{−3}, a twentieth.
        alpha = 0.25 if self.alpha is None else self.alpha
        step = mirror_step(alpha) if self.step is None else self.step
        inner = math.ceil(3 / (alpha * step)) if self.inner is None else self.inner
        return dataclasses.replace(self, alpha=alpha, step=step, inner=inner)

    def init(self, game: Game, key: jax.Array) -> AnchoredState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return AnchoredState(game.start, advantage, game.start, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: AnchoredState, key: jax.Array) -> AnchoredState:
        away = state.log_anchor - state.log_policy
        pull = away if self.divergence == "kl" else jnp.expm1(away)
        in_round = (state.steps % self.inner).astype(away.dtype)
        decrease = self.alpha * in_round / 2 if self.schedule == "decreasing" else 0.0
        step = self.step / (1 + self.step * decrease)
        log_policy = simplex.normalise(state.log_policy + step * (state.advantage + self.alpha * pull))
        steps = state.steps + 1
        log_anchor = jnp.where(steps % self.inner == 0, log_policy, state.log_anchor)
        return AnchoredState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_anchor, steps)

    def log_policy(self, state: AnchoredState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AnchoredState) -> jax.Array | None:
        return state.advantage
