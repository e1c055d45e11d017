"""Rows ⇄ disk: a results directory is a manifest, tables, and the immutable parts that have come since.

```
manifest.json        what was asked, on what machine, what came of it
runs.parquet …       one table of each kind; readable without this package
parts/000017-….zip   the tables of one finished batch, numbered in the order they were added, named by their content
games/….csv          the file a game was made from, named by its content
failures.log         why runs failed, with the places in the code
claims/….lock        batches that a process plays now
checkpoints/….npz    how far a batch is that is not finished
ends/….npz           how one ended that used up its budget, for a larger one
```
What a directory says is its tables with its parts laid over them in their order: of a run the rows of the newest part
that has it count, in every table. So adding writes what is added and nothing else; a run that is played again is one
more part; so are new labels.

*One rename.* A part is one file (Parquet files in an uncompressed ZIP), written aside, synced and renamed: it is
written atomically, and a temporary file that a killed process leaves is ignored. Its name holds the hash of its bytes.

*Folding.* `compact`, at the end of a command, writes what the directory says into the tables, each by a rename of its
own, and then drops all parts in one rename. Laying parts over a table that holds them already changes nothing:
wherever this stops, nothing is lost and nothing doubled.

*Many processes.* A lock is held while something is written, never while something is computed. Readers take none: they
read tables and parts, and begin again where a table was replaced or a part folded meanwhile.

Directories of earlier versions have no parts. Columns that they lack are read with their default, a number as null;
columns of others are kept. Nothing in a directory is ever imported or unpickled.
"""

from nashgames.core.metrics import METRICS
from nashgames.store.kept import LARGEST as LARGEST_GAME
from nashgames.store.manifest import SCHEMA
from nashgames.store.progress import Progress
from nashgames.store.results import Results
from nashgames.store.schema import (
    CERTIFICATE_COLUMNS,
    CURVE_COLUMNS,
    ESTIMATE_COLUMNS,
    FAILURE_COLUMNS,
    PATH_COLUMNS,
    POINT_COLUMNS,
    POLICY_COLUMNS,
    RUN_COLUMNS,
    RUN_KEYS,
    SCHEMAS,
    TABLES,
)

__all__ = [
    "CERTIFICATE_COLUMNS",
    "CURVE_COLUMNS",
    "ESTIMATE_COLUMNS",
    "FAILURE_COLUMNS",
    "LARGEST_GAME",
    "METRICS",
    "PATH_COLUMNS",
    "POINT_COLUMNS",
    "POLICY_COLUMNS",
    "RUN_COLUMNS",
    "RUN_KEYS",
    "SCHEMA",
    "SCHEMAS",
    "TABLES",
    "Progress",
    "Results",
]
