"""What the referee asks of a storage of A: products, parts and a scale, in float64 on the host."""

import numpy as np

from nashgames.core.margins import DenseMargins, Margins, Multiplies

# Actions up to which a storage that computes its entries is written down, 0.5 GB: each product would do so again.
_WRITTEN = 8192
# Entries that are looked up at a time: 2 MB, and as much again of every index.
_LOOKED_UP = 2**18
# Actions up to which the largest margin is found among all: 2²⁸ entries, a second of a storage that computes them.
_SMALL = 2**14
# Entries of the first rows of the search for a large margin, and the rows that it looks at after them.
_SEARCHED, _ROUNDS = 2**22, 4


def written(margins: Margins) -> Margins:
    """The margins as one array where they have neither an array nor a product of their own and are few enough."""
    n = margins.shape[-1]
    if isinstance(margins, DenseMargins | Multiplies) or n > _WRITTEN:
        return margins
    values = np.empty((n, n), margins.dtype)
    for rows, block in margins.blocks():
        values[rows] = block
    return DenseMargins(values)


def rectangle(margins: Margins, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A[rows, columns] `[r, c]`, as the storage has it, looked up."""
    found = np.empty((len(rows), len(columns)), margins.dtype)
    height = max(1, _LOOKED_UP // max(1, len(columns)))
    for start in range(0, len(rows), height):
        some = rows[start : start + height]
        grid = np.broadcast_arrays(some[:, None], columns[None, :])
        found[start : start + height] = margins.lookup(*map(np.ravel, grid)).reshape(grid[0].shape)
    return found


def largest_of(margins: Margins) -> float:
    """max A, which of more than 16,384 actions in a storage without an array is a margin near it.

    There some rows are searched, then the row of the best column, and so on: what is scaled by it is the same game, and
    only its tolerances are relative to a smaller margin.
    """
    n = margins.shape[-1]
    if n <= _SMALL:
        return max(float(np.max(np.abs(rows), initial=0.0)) for _, rows in margins.blocks())
    rows, largest = np.unique(np.linspace(0, n - 1, max(1, _SEARCHED // n)).astype(int)), 0.0
    for _ in range(_ROUNDS):
        values = np.abs(rectangle(margins, rows, np.arange(n)))
        largest = max(largest, float(values.max()))
        rows = np.unravel_index(np.argmax(values), values.shape)[1].reshape(1)
    return largest
