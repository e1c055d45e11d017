"""A neural policy: a multilayer perceptron over the features of actions."""

import itertools
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.learning.features import KINDS, check_features
from nashgames.learning.policies.protocol import Listed
from nashgames.registry import Choice, Number

# Larger values are typing errors, and layers are unrolled in the compiled program.
_MOST_LAYERS = 100
# Two layers of it are 10⁸ weights, 400 MB in float32.
_MOST_UNITS = 10_000
# The letters "pol".
_PURPOSE = 0x706F6C
"""Sets the draw of a network apart from the steps of its run, whose keys are folded from the same one."""


class MlpParameters(NamedTuple):
    """`network`: the arrays of an `equinox.nn.MLP`, its other leaves None; `inputs`: the learned input where the
    network sees no features, `[width]`, `[m, width]` over contexts, else None."""

    network: Any
    inputs: jax.Array | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mlp(Listed):
    """π ∝ μ e^{f_θ(φ)}: one ReLU network f_θ, applied to the features of every action in every context.

    `depth` counts linear layers, as the public EGPO simulation does: 3 means two hidden layers of `width` units and 1
    none, which is the log-linear policy. The output is one number without a bias, which would be normalised away. The
    hidden layers are drawn from the run's seed, uniform on ±1/√(inputs of the layer), in float32, so that both
    precisions start at one network; the last layer starts at 0, so that π_0 = μ. Σ_xy w ∇ log π is the vector–Jacobian
    product of f_θ with ρ_x (w − π Σ_y w) (theory §4; EGPO: Zhou et al. 2025).

    With the features `none` it is that simulation's network: it sees nothing but a learned input, one for every
    context, and has an output with a bias for every action.
    """

    features: Annotated[str, Choice("features of an action: auto, own, spectral, random, identity or none", KINDS)] = (
        field(default="auto", metadata={"static": True})
    )
    dimension: Annotated[
        int | None, Number("number of features; default: all of the game's own, 10 of other kinds", least=1)
    ] = field(default=None, metadata={"static": True})
    depth: Annotated[int, Number("linear layers; the hidden ones are one fewer", least=1, most=_MOST_LAYERS)] = field(
        default=3, metadata={"static": True}
    )
    width: Annotated[int, Number("units of a hidden layer", least=1, most=_MOST_UNITS)] = field(
        # As many units as features, unless asked otherwise.
        default=10,
        metadata={"static": True},
    )

    name: ClassVar[str] = "mlp"
    # A fifth of that of a log-linear policy: a hidden layer of ten units moves the logits in addition to the last
    # layer.
    gain: ClassVar[float] = 0.02
    random_init: ClassVar[bool] = True
    shares_parameters: ClassVar[bool] = True

    def check(self) -> None:
        """Raise NashGamesError for a dimension where the features leave no choice."""
        check_features(self.features, self.dimension)

    def init(self, game: Game, key: jax.Array) -> MlpParameters:
        shapes, _ = self._skeleton(game)
        inputs = (*game.log_reference.shape[:-1], self.width) if self.features == "none" else (0,)
        leaves, structure = jax.tree.flatten(shapes)
        *hidden, last = shapes.layers
        # A last layer of constants would be read wrongly: XLA's YNN fusions (jaxlib 0.10.2 to 0.12) read memory beyond
        # a constant that they multiply with.
        bounds = [(layer, 1 / math.sqrt(layer.in_features)) for layer in hidden] + [(last, 0.0)]
        of_leaves = [bound for layer, bound in bounds for _ in jax.tree.leaves(layer)]
        # One draw for all: a draw takes longer to compile than the rest of the network.
        sizes = [leaf.size for leaf in leaves]
        count, key = sum(sizes) + math.prod(inputs), jax.random.fold_in(key, _PURPOSE)
        numbers = jax.random.uniform(key, (count,), jnp.float32, -1, 1)
        *drawn, of_inputs = jnp.split(numbers, list(itertools.accumulate(sizes)))
        network = jax.tree.unflatten(
            structure,
            [bound * part.reshape(leaf.shape) for bound, part, leaf in zip(of_leaves, drawn, leaves, strict=True)],
        )
        # Of variance 1, as features are.
        seen = math.sqrt(3) * of_inputs.reshape(inputs) if self.features == "none" else None
        return jax.tree.map(lambda values: values.astype(game.log_reference.dtype), MlpParameters(network, seen))

    def logits(self, game: Game, parameters: MlpParameters) -> jax.Array:
        return game.log_reference + self._network(game, parameters)

    def _network(self, game: Game, parameters: MlpParameters) -> jax.Array:
        """f_θ, the shape of a policy."""
        import equinox as eqx

        apply = eqx.combine(parameters.network, self._skeleton(game)[1])
        if parameters.inputs is None:
            # Actions last, in and out: the layout that XLA's products are fastest with.
            of_context = jax.vmap(apply, in_axes=-1, out_axes=-1)
            seen, single = jnp.swapaxes(game.features, -1, -2), 2
        else:
            of_context, seen, single = apply, parameters.inputs, 1
        of_contexts = of_context if seen.ndim == single else jax.vmap(of_context)
        with jax.default_matmul_precision("highest"):
            return jnp.broadcast_to(of_contexts(seen), game.log_reference.shape)

    def _skeleton(self, game: Game) -> tuple[Any, Any]:
        """The network in two parts: the shapes of its arrays, and everything else."""
        import equinox as eqx

        blind = self.features == "none"

        def network(key: jax.Array) -> Any:
            return eqx.nn.MLP(
                in_size=self.width if blind else game.features.shape[-1],
                out_size=game.actions if blind else "scalar",
                width_size=self.width,
                depth=self.depth - 1,
                activation=_relu,
                use_final_bias=blind,
                dtype=jnp.float32,
                key=key,
            )

        shapes = eqx.filter_eval_shape(network, jax.random.key(0))
        return eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))


def _relu(values: jax.Array) -> jax.Array:
    # XLA fuses it, and its derivative, into the products around it, which it does not with jax.nn.relu.
    return jnp.maximum(values, 0)
