"""What is in memory while games are played together: their margins once for every batch, and few batches at once."""

import dataclasses
import gc
import re
import weakref
from concurrent.futures import ThreadPoolExecutor

import jax
import pandas as pd
import psutil
import pytest

from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch
from nashgames.errors import NashGamesError
from nashgames.experiments import batches as planned
from nashgames.experiments import plan, playing, runner
from nashgames.experiments.events import Advanced
from nashgames.experiments.experiment import Experiment

SOLVERS = ("mirror-descent", "nash-mp", "online-ipo", "uniform-ipo")
GAMES, ACTIONS = 3, 17
"""A size that no other array of these tests has."""


def several(**values) -> Experiment:
    usual = {"game": "random-logits", "actions": ACTIONS, "seeds": GAMES, "solver": SOLVERS}
    return Experiment(**({"queries": 40, "records": 3} | usual | values))


def stacks() -> set[int]:
    """Where the stacked margins lie that are on a device now."""
    shape = (GAMES, ACTIONS, ACTIONS)
    return {array.unsafe_buffer_pointer() for array in jax.live_arrays() if array.shape == shape}


def test_every_batch_of_a_chunk_reads_one_stack_and_few_batches_are_alive(tmp_path, monkeypatch):
    seen, alive, ahead, batches = [], [], [], weakref.WeakSet()

    def made(*arguments, **named):
        batch = Batch(*arguments, **named)
        batches.add(batch)
        return batch

    class Pool(ThreadPoolExecutor):
        def submit(self, *arguments):
            ahead.append(len(ahead))
            return super().submit(*arguments)

    monkeypatch.setattr(playing, "Batch", made)
    monkeypatch.setattr(playing, "ThreadPoolExecutor", Pool)
    for event in runner.execute(several(), tmp_path / "out"):
        if isinstance(event, Advanced):
            seen.append(stacks())
            alive.append(len(batches))
            # Whatever is asked for by now may be compiled before this batch has ended.
            assert len(ahead) <= event.batch - 1 + planned.MOST_BATCHES
    assert len(seen) >= len(SOLVERS)
    assert all(len(places) == 1 for places in seen), "one copy of the stack"
    assert len(set.union(*seen)) == 1, "the same one from the first batch to the last"
    assert max(alive) <= planned.MOST_BATCHES < len(SOLVERS)
    gc.collect()
    assert not stacks()


def of_others(frame):
    """Rows without the columns that two runs of one command differ in."""
    return frame[[name for name in frame if not name.endswith("seconds")]]


def test_batches_that_do_not_fit_beside_each_other_are_made_one_by_one_with_the_same_bits(tmp_path, monkeypatch):
    usual = [*runner.execute(several(), tmp_path / "usual")][-1]
    settings = plan.settings_of(several())
    (need,) = planned.needs(plan.plan(several(), settings)[0], settings)
    assert need.batches > planned.MOST_BATCHES
    monkeypatch.setattr(planned.memory, "room", lambda: planned.memory.Room(need.bytes(1), "of a test"))
    at_once, found = [], planned.batches_at_once

    def told(*given):
        at_once.append(found(*given))
        return at_once[-1]

    monkeypatch.setattr(playing, "batches_at_once", told)
    tight = [*runner.execute(several(), tmp_path / "tight")][-1]
    # The games are there by now: what is free beside the stack holds two batches' worth of these small ones.
    monkeypatch.setattr(planned.memory, "room", lambda: planned.memory.Room(0, "of a test"))
    chunk, *_ = planned.game_chunks(plan.plan(several(), settings)[0], 8)
    assert found(planned.batches_of(chunk), settings) == 1
    assert at_once
    for name in ("runs", "curves", "policies"):
        pd.testing.assert_frame_equal(of_others(getattr(usual, name)), of_others(getattr(tight, name)))


def test_a_device_has_a_limit_of_its_own(monkeypatch):
    settings = plan.settings_of(several(actions=1000, seeds=16))
    runs, _ = plan.plan(several(actions=1000, seeds=16), settings)
    needed = 16 * 8_000_000 + 16 * 12 * 8000
    device = type("Device", (), {"memory_stats": lambda self: told})()
    monkeypatch.setattr(Precision, "jax_device", lambda self: device)
    told = {"bytes_limit": needed + 5, "bytes_in_use": 5}
    on_gpu = dataclasses.replace(settings, precision=Precision("float64", "gpu"))
    planned.check_memory(runs, on_gpu)
    told = {"bytes_limit": needed + 4, "bytes_in_use": 5}
    with pytest.raises(
        NashGamesError, match=r"needs 130 MB of memory and 130 MB is free \(the GPU has 130 MB for JAX\)"
    ):
        planned.check_memory(runs, on_gpu)
    told = None
    assert on_gpu.precision.room() is None


def test_the_memory_that_is_needed_knows_the_stack_and_the_batches_at_once(monkeypatch):
    asked = several(actions=1000, seeds=16)
    settings = plan.settings_of(asked)
    runs, _ = plan.plan(asked, settings)
    # 16 games of 8 MB, as many again for the stack, and one of four batches with 16 runs of 12 policies each.
    needed = 2 * 16 * 8_000_000 + 16 * 12 * 8000

    def free(available: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": available})())

    free(needed)
    planned.check_memory(runs, settings)
    free(needed - 1)
    said = (
        "playing 16 games of 1,000 actions together (128 MB of margins, 128 MB of them stacked, 1 of 4 batches of up "
        "to 16 runs at once) needs 258 MB of memory and 258 MB is free; use fewer actions, or use a machine with more "
        "memory"
    )
    with pytest.raises(NashGamesError, match=re.escape(said)):
        planned.check_memory(runs, settings)
    planned.check_memory(runs, settings, {run.run_id for run in runs})
    one, _ = plan.plan(several(actions=1000, seeds=1), settings)
    # A single game may take half of what is free: with a stack beside it the rest would not be enough.
    free(16_000_001)
    planned.check_memory(one, settings)
