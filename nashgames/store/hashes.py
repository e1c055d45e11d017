"""The SHA-256 of every table, in the manifest under `hashes`: what was changed after it was written can be seen.

Each table has the list of the digests that its file may have; null stands for no file. While parts are folded it has
that of before and that of afterwards, so that a directory is sound wherever folding stops; after it one is left.
A table that is folded although its file was not as it was written leaves an empty list: its rows are in the new file.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from nashgames.store.files import read_bytes

KEY = "hashes"

Accepted = Mapping[str, list[str | None]]
"""By table the digests that its file may have."""


def known(manifest: Mapping[str, object]) -> dict[str, Accepted]:
    """What a manifest says of the tables, as a part of it; empty where it was written before hashes were."""
    found = manifest.get(KEY)
    return {KEY: found} if isinstance(found, dict) else {}


def digest_of(data: bytes | memoryview) -> str:
    """The SHA-256 of the bytes of a table, in hex."""
    return hashlib.sha256(data).hexdigest()


def around(
    before: Accepted | None, files: Mapping[str, Path], written: Mapping[str, memoryview]
) -> tuple[Accepted, ...]:
    """What the manifest has to say while the tables `written` replace these `files`, and what afterwards.

    `before` is what it says so far, None where it says nothing.
    """
    during: dict[str, list[str | None]] = dict(before or {})
    after = dict(during)
    for name, data in written.items():
        try:
            old = digest_of(read_bytes(files[name]))
        except FileNotFoundError:
            old = None
        sound = before is None or old is None or old in before.get(name, [])
        new = digest_of(data)
        during[name] = list(dict.fromkeys([old, new])) if sound else []
        after[name] = [new] if sound else []
    return during, after
