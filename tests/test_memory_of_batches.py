"""What is in memory while games are played together: their margins once for every batch, and few batches at once."""

import gc
import re
import weakref
from concurrent.futures import ThreadPoolExecutor

import jax
import psutil
import pytest

from nashgames.engine.batch import Batch
from nashgames.errors import NashGamesError
from nashgames.experiments import batches as planned
from nashgames.experiments import plan, runner
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

    monkeypatch.setattr(runner, "Batch", made)
    monkeypatch.setattr(runner, "ThreadPoolExecutor", Pool)
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


def test_the_memory_that_is_needed_knows_the_stack_and_the_batches_at_once(monkeypatch):
    asked = several(actions=1000, seeds=16)
    settings = plan.settings_of(asked)
    runs, _ = plan.plan(asked, settings)
    # 16 games of 8 MB, as many again for the stack, and three of four batches with 16 runs of 12 policies each.
    needed = 2 * 16 * 8_000_000 + 3 * 16 * 12 * 8000

    def free(available: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": available})())

    free(needed)
    planned.check_memory(runs, settings)
    free(needed - 1)
    said = (
        "playing 16 games of 1,000 actions together (128 MB of margins, 128 MB of them stacked, 3 of 4 batches of up "
        "to 16 runs at once) needs 261 MB of memory and 261 MB is free"
    )
    with pytest.raises(NashGamesError, match=re.escape(said)):
        planned.check_memory(runs, settings)
    planned.check_memory(runs, settings, {run.run_id for run in runs})
    one, _ = plan.plan(several(actions=1000, seeds=1), settings)
    # A single game may take half of what is free: with a stack beside it the rest would not be enough.
    free(16_000_001)
    planned.check_memory(one, settings)
