"""The protocol of policies: π with parameters θ, and the direction of θ for given weights on actions."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg as conjugate_gradients

from nashgames.core import random, simplex
from nashgames.core.game import Game

_MOST_PRODUCTS = 100
"""Products with the Fisher matrix in a step, at most: in exact arithmetic ten features need ten."""

_RESIDUAL = 1e-8
"""Of the gradient: the direction is right to about this over the damping, far below the error of a step."""


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass of structure alone, registered as a pytree without leaves; θ lives in the solver's state.

    Every method is pure and traced for one run; policies are `[n]`, or `[m, n]` over contexts. A policy whose actions
    can all be listed is written by its `logits`, from which `log_policy`, `sample` and `log_prob` follow (`Listed`). A
    policy that sees the actions has the fields `features` and `dimension`, with which `features.resolve_features` is
    asked for the `game.features` it then finds: `[n, d]` or `[m, n, d]`.
    """

    @property
    def name(self) -> str:
        """The name on the command line and in every row."""
        ...

    @property
    def gain(self) -> float:
        """The default step over that of a table, which theory knows: a rule of thumb, as θ_k moves many actions."""
        ...

    @property
    def random_init(self) -> bool:
        """Whether θ_0 is drawn, so that two seeds give two runs."""
        ...

    @property
    def shares_parameters(self) -> bool:
        """Whether contexts share θ: then context x counts with its weight ρ_x in a direction for θ."""
        ...

    def init(self, game: Game, key: jax.Array) -> Any:
        """θ_0: a pytree of arrays of the dtype of `game.log_reference`. `key` is this run's own."""
        ...

    def logits(self, game: Game, parameters: Any) -> jax.Array:
        """log π_θ up to a constant in every context."""
        ...

    def log_policy(self, game: Game, parameters: Any) -> jax.Array:
        """log π_θ, normalised."""
        ...

    def sample(self, game: Game, parameters: Any, key: jax.Array, batch: int) -> jax.Array:
        """Actions y_b ~ π_θ, `[batch]`, `[m, batch]` over contexts."""
        ...

    def log_prob(self, game: Game, parameters: Any, actions: jax.Array) -> jax.Array:
        """log π_θ(y_b) of the given actions, their shape."""
        ...


class Listed:
    """The rest of a policy whose actions can all be listed, from its `logits`."""

    def logits(self, game: Game, parameters: Any) -> jax.Array:
        raise NotImplementedError

    def log_policy(self, game: Game, parameters: Any) -> jax.Array:
        return simplex.normalise(self.logits(game, parameters))

    def sample(self, game: Game, parameters: Any, key: jax.Array, batch: int) -> jax.Array:
        log_policy = self.log_policy(game, parameters)
        return random.draw(log_policy, random.words(key, (*log_policy.shape[:-1], batch)))

    def log_prob(self, game: Game, parameters: Any, actions: jax.Array) -> jax.Array:
        return jnp.take_along_axis(self.log_policy(game, parameters), actions, axis=-1)


def direction(policy: Policy, game: Game, parameters: Any, log_policy: jax.Array, weights: jax.Array) -> Any:
    """Σ_xy w(x, y) ∇_θ log π_θ(y|x), like `parameters`: the vector–Jacobian product of the logits with w − π Σ_y w(y).

    `log_policy` is that of θ, `weights` are its shape; where contexts share θ, context x counts with its weight ρ_x.
    """
    at_logits = weights - jnp.exp(log_policy) * jnp.sum(weights, axis=-1, keepdims=True)
    if policy.shares_parameters and at_logits.ndim == 2:
        at_logits = at_logits * game.weights[:, None]
    _, pull_back = jax.vjp(lambda theta: policy.logits(game, theta), parameters)
    (found,) = pull_back(at_logits)
    return found


def natural_direction(
    policy: Policy, game: Game, parameters: Any, log_policy: jax.Array, gradient: Any, damping: Any
) -> Any:
    """x with (F + damping) x = `gradient`, like `parameters`: F = Σ_x ρ_x E_π[∇ log π_θ ∇ log π_θᵀ], the Fisher matrix.

    F v is the `direction` of the weights π ∘ (∇logits · v): conjugate gradients need it as a product alone. They end
    after `_MOST_PRODUCTS`, or where the residual is below `_RESIDUAL` of the gradient.
    """

    def product(vector: Any) -> Any:
        _, moved = jax.jvp(lambda theta: policy.logits(game, theta), (parameters,), (vector,))
        found = direction(policy, game, parameters, log_policy, jnp.exp(log_policy) * moved)
        return jax.tree.map(lambda one, own: one + damping * own, found, vector)

    found: Any = conjugate_gradients(product, gradient, tol=_RESIDUAL, maxiter=_MOST_PRODUCTS)  # type: ignore[no-untyped-call]
    return found[0]
