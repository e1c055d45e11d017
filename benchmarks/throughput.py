"""What a sweep of many short runs takes, by its parts, and whether adding depends on what is there.

n = 10, four solvers, five β, 1,000 queries and 20 records, played into a results directory as `nashgames sweep` does:
with the programs that an earlier one has kept, or with `--cold` without. These are made ready in threads, beside the
rest: the seconds of the parts overlap there, and do not add up to the wall time.
"""

import argparse
import functools
import gc
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from timing import machine, table, verdict

from nashgames.cli import backend
from nashgames.engine.batch import Batch
from nashgames.experiments import playing, preparing, runner
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan, settings_of
from nashgames.store import Results

SOLVERS = ("nash-mp", "adaptive-nash-mp", "mirror-descent", "nash-prox")
BETAS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Five, so that 500 seeds are the 10,000 runs for which a time is wanted."""
TARGETS = {500: 3.5, 5000: 20.0}
"""Wall seconds by number of seeds, on two quiet cores."""

_SECONDS: Counter[str] = Counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--actions", type=int, default=10)
    parser.add_argument("--plan", action="store_true", help="plan alone")
    parser.add_argument("--profile", type=Path, help="where pyinstrument writes its page")
    parser.add_argument("--cold", action="store_true", help="compile every program, and keep none")
    given = parser.parse_args()
    print(machine())
    backend.start("cpu", keep=not given.cold)
    # As in `cli.failures`.
    gc.set_threshold(100_000)
    experiment = Experiment(
        solver=SOLVERS,
        beta=BETAS,
        actions=(given.actions,),
        seeds=given.seeds,
        queries=1000,
        records=20,
    )
    if given.plan:
        began = time.perf_counter()
        runs, _ = plan(experiment, settings_of(experiment))
        print(f"{len(runs):,} runs planned in {time.perf_counter() - began:.2f} s, peak {peak():.2f} GB")
        return
    watch()
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder, profiled(given.profile):
        directory = Path(folder) / "results"
        before, began = sum(process.cpu_times()[:2]), time.perf_counter()
        for _ in runner.execute(experiment, directory):
            pass
        wall, cpu = time.perf_counter() - began, sum(process.cpu_times()[:2]) - before
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    runs = len(SOLVERS) * len(BETAS) * given.seeds
    table(("part", "seconds"), [(name, round(taken, 2)) for name, taken in _SECONDS.most_common()])
    print(
        f"{runs:,} runs: {wall:.2f} s wall, {cpu:.2f} s CPU, {1e3 * wall / runs:.3f} ms a run, peak {peak():.2f} GB, "
        f"{size:,} bytes"
    )
    if target := TARGETS.get(given.seeds):
        verdict(f"seconds over {target:g}", wall / target, 1.0)


def peak() -> float:
    """Gigabytes that the process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@contextmanager
def profiled(page: Path | None) -> Iterator[None]:
    """Let pyinstrument look, where it is asked for."""
    if page is None:
        yield
        return
    from pyinstrument import Profiler

    with Profiler(interval=0.002) as profiler:
        yield
    page.write_text(profiler.output_html())
    print(profiler.output_text(show_all=False, unicode=False, color=False))


def watch() -> None:
    """Count the seconds of every part."""
    timed(runner, "plan", "planning")
    timed(playing.Chunk, "_prepare", "games and equilibria", generator=True)
    timed(preparing, "equilibrium_path", "of which equilibria", generator=True)
    timed(playing, "Batch", "making ready (in threads)")
    timed(Batch, "advance", "solving")
    timed(playing, "frames_of", "rows")
    timed(runner, "_finished", "folding and reading")
    timed(Results, "add", "adding to the disk")


def timed(owner: Any, name: str, part: str, *, generator: bool = False) -> None:
    """Count the seconds of a function, or of every step of a generator."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def function(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*args, **options)
        finally:
            _SECONDS[part] += time.perf_counter() - began

    def steps(*args: Any, **options: Any) -> Iterator[Any]:
        items = inner(*args, **options)
        while True:
            began = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                _SECONDS[part] += time.perf_counter() - began
            yield item

    setattr(owner, name, functools.wraps(inner)(steps) if generator else function)


if __name__ == "__main__":
    main()
