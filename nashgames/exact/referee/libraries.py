"""The threads of the linear algebra that the referee calls."""

import importlib
from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Inside, BLAS has one thread: more gain little on these sizes, and wait for each other where other work runs."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    # SciPy loads its own BLAS with this module, and a controller knows the libraries that are there when it is made.
    importlib.import_module("scipy.linalg")
    return ThreadpoolController()
