"""Strict JAX in every test, compiled programs shared by all of them, and a process that stays small."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the suite's time is compiling: as the engine does for short runs, everything is compiled without optimisation.
# `test_both_forms_of_a_program_give_the_same_numbers` compares with optimised programs.
# Programs are small: to share one out among threads costs more than it saves.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

# Each worker of pytest has a core: threads of a linear algebra library that wait for one another take a sixth more.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ctypes
import functools
import gc
import shutil
import tempfile

import jax
import numpy as np
import psutil
import pytest
from matplotlib.mathtext import MathTextParser

from nashgames.cli.backend import enable_cache
from nashgames.engine import exported

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_MOST_MEMORY = 1.2e9
"""Bytes of a process at which its programs are let go: 2 GB are allowed, and a test was seen to add 0.3 GB."""

_GROWTH = 0.4e9
"""Bytes by which it grows before they are let go again, where letting go did not make it smaller."""

_MOST_DISK = 3e8
"""Bytes of kept programs at which they are thrown away: those of a dozen test files are 17 MB."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs in pytest's cache (`--cache-clear` empties it), unless NASHGAMES_CACHE says otherwise.

    Workers and the commands that tests start inherit the name. A program is found by its text, compiler and options:
    no change of the code is hidden, and tests that count programs count what is traced.
    """
    if "NASHGAMES_CACHE" in os.environ:
        return
    if hasattr(config, "cache"):
        folder = config.cache.mkdir("compiled")
        if sum(path.stat().st_size for path in folder.rglob("*")) > _MOST_DISK:
            shutil.rmtree(folder)
    else:  # pytest -p no:cacheprovider
        folder = tempfile.mkdtemp(prefix="nashgames-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["NASHGAMES_CACHE"] = str(folder)


def pytest_collection_finish() -> None:
    """What is imported stays: looking through it again and again for garbage is a twentieth of the time."""
    gc.collect()
    gc.freeze()
    # Objects between two looks: a traced program alone makes ten thousand, and most of them live as long as it does.
    gc.set_threshold(50_000, 20, 50)


def _parse_labels_once() -> None:
    """Let all figures of a process share the labels that matplotlib parses, which each of its renderers does anew.

    That takes a third of the time of a figure. What is drawn is the same:
    `test_the_files_of_every_figure_repeat_to_the_byte_in_another_process` compares with a process that does not.
    """
    parse = MathTextParser._parse_cached.__wrapped__

    class Parser(MathTextParser):
        def __init__(self, output_type: str) -> None:
            self._output_type = output_type

    # All figures of the tests have some hundred different labels in a few sizes.
    @functools.lru_cache(10_000)
    def shared(output_type: str, *label: object) -> object:
        return parse(Parser(output_type), *label)

    MathTextParser._parse_cached = lambda self, *label: shared(self._output_type, *label)


_parse_labels_once()


class _Memory:
    """Lets the programs of this process go when it is too large."""

    def __init__(self) -> None:
        self.process, self.limit = psutil.Process(), _MOST_MEMORY

    def check(self) -> None:
        if self.process.memory_info().rss <= self.limit:
            return
        jax.clear_caches()
        # The C library keeps what was freed in many small pieces: without this 1.2 GB stay 1.2 GB, with it 0.4 GB.
        if hasattr(ctypes.CDLL(None), "malloc_trim"):
            ctypes.CDLL(None).malloc_trim(0)
        self.limit = max(_MOST_MEMORY, self.process.memory_info().rss + _GROWTH)


_memory = _Memory()


@pytest.fixture(autouse=True)
def _programs():
    """Compiled programs come from the folder, whatever the test before has set, and do not fill the memory.

    Those that are traced are traced anew, as tests change the code of solvers in this process.
    """
    jax.config.update("jax_enable_compilation_cache", enable_cache() is not None)
    exported.keep_in(None)
    yield
    _memory.check()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
