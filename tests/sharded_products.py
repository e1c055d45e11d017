"""Products of sharded margins in a process with several devices, or one of two processes: prints what it found.

Started by `tests/test_storage_sharded.py` as `python -m tests.sharded_products [ADDRESS PROCESS]`.
"""

import json
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np

import nashgames as ng
from nashgames.core.margins import PRODUCT, ShardedMargins, beside
from nashgames.core.precision import Precision


def main() -> None:
    if len(sys.argv) > 1:
        jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
    rng, n = np.random.default_rng(0), 33
    upper = np.triu(rng.uniform(-0.5, 0.5, size=(2, n, n)), 1)
    values = upper - np.swapaxes(upper, 1, 2)
    policies = rng.dirichlet(np.ones(n), size=(3, 2))
    rows, columns = rng.integers(n, size=(2, 2, 9))
    errors = {}
    for dtype in ("float64", "float32"):
        with Precision(dtype).scope():
            placed = ShardedMargins(values).place(jax.local_devices(backend="cpu")[0], dtype)
            assert placed.place(jax.local_devices()[0], dtype) is placed
            given = jax.device_put(policies.astype(dtype), beside(placed))

            def query(margins, policy):
                return jax.lax.fori_loop(0, 2, lambda _, last: margins.matvec(policy) + 0 * last, policy)

            program = jax.jit(jax.vmap(query, in_axes=(None, 0)))
            assert PRODUCT in str(program.trace(placed, given).jaxpr)
            found = program(placed, given)
            picked = jax.jit(ShardedMargins.entries)(placed, jnp.asarray(rows), jnp.asarray(columns))
            assert found.sharding.is_fully_replicated
            errors[dtype] = float(np.max(np.abs(np.asarray(found) - np.einsum("xij,rxj->rxi", values, policies))))
            looked_up = np.stack([values[x][rows[x], columns[x]] for x in range(2)])
            np.testing.assert_array_equal(np.asarray(picked), looked_up.astype(dtype))
            text = program.lower(placed, given).compile().as_text()
            gathered = [
                math.prod(map(int, shape.split(","))) for shape in re.findall(r"\[([\d,]+)\]\S* all-gather", text)
            ]
    shards = [shard.data.shape for shard in placed.values.addressable_shards]
    print(
        json.dumps(
            {
                "played": None if len(sys.argv) > 1 else played(values[0]),
                "errors": errors,
                "shards": shards,
                "gathered": gathered,
                "shape": placed.shape,
            }
        )
    )


def played(values):
    """The suboptimality of a run on all devices, and of the same run on one."""
    games = [ng.make_game(margins) for margins in (ShardedMargins(values), values)]
    return [
        ng.solve(game, "nash-mp", beta=0.2, queries=10, records=2).curves["suboptimality"].tolist() for game in games
    ]


if __name__ == "__main__":
    main()
