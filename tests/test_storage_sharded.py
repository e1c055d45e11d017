"""Margins whose rows are on several devices, of one process or of two, give the numbers of one device."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from nashgames.core.margins import DenseMargins, Margins, ShardedMargins, stack
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from tests.games import random_margins


def found_by(*arguments, devices=1):
    """What `tests/sharded_products.py` prints, of as many processes as there are lists of arguments."""
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharded_products", *own],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for own in arguments
    ]  # fmt: skip
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        yield json.loads(out.splitlines()[-1])


def is_right(found, rows):
    assert found["errors"]["float64"] < 1e-15
    assert found["errors"]["float32"] < 1e-6
    assert found["shape"] == [2, 33, 33]
    # Every device has its rows of both contexts, and is sent products of three runs: nothing of A.
    assert found["shards"] == [[2, height, 33] for height in rows]
    assert found["gathered"]
    assert max(found["gathered"]) <= 3 * 2 * 36


def test_four_devices_have_a_quarter_of_the_rows_each():
    (found,) = found_by([], devices=4)
    is_right(found, [9] * 4)
    np.testing.assert_allclose(*found["played"], rtol=1e-9)


def test_two_processes_have_half_of_the_rows_each():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    for found in found_by([address, "0"], [address, "1"]):
        is_right(found, [17])


def test_on_the_host_and_on_one_device_it_is_an_array(rng):
    values = [random_margins(rng, 9) for _ in range(2)]
    both = stack([ShardedMargins.filled(9, [lambda i, j, of=of: of[i, j]], np.float64) for of in values])
    assert isinstance(both, Margins)
    assert (both.storage, both.shape, both.dtype, both.nbytes) == ("sharded", (2, 9, 9), np.float64, 2 * 9 * 9 * 8)
    assert both.nbytes == ShardedMargins.bytes_of(9, 2, 8)
    one, dense = both.of_context(1), DenseMargins(values[1])
    actions = np.array([3, 8, 0])
    np.testing.assert_array_equal(one.to_dense(), values[1])
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in one.blocks(4)]), values[1])
    np.testing.assert_array_equal(one.submatrix(actions), dense.submatrix(actions))
    np.testing.assert_array_equal(one.lookup(actions, actions[::-1]), dense.lookup(actions, actions[::-1]))
    one.check()
    with pytest.raises(NashGamesError, match="accepted: A = P"):
        ShardedMargins(values[1] + 1).check()
    with Precision().scope():
        placed = one.place(jax.local_devices(backend="cpu")[0], np.float64)
        np.testing.assert_allclose(placed.matvec(np.ones(9) / 9), values[1].mean(axis=1), atol=1e-15)
        np.testing.assert_array_equal(placed.entries(actions, actions[::-1]), values[1][actions, actions[::-1]])
