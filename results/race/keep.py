"""Keep of a race what its figures and numbers rest on: `python results/race/keep.py PLAYED KEPT`, two directories.

The runs that are reported and those of the methods as they were asked for, in a new directory, with race.json, the
numbers that are drawn. Left out are the trials of steps, seven of ten runs.
"""

import json
import sys
from pathlib import Path

from nashgames.cli.race import judged
from nashgames.defaults import TUNING
from nashgames.experiments.choice import as_asked
from nashgames.store import Results


def main() -> None:
    played, folder = Results.read(sys.argv[1]), Path(sys.argv[2])
    runs = played.last_runs
    shown = runs[runs["role"] != TUNING]
    # A game that is the same for every seed is tuned on itself: there the methods as asked for are among the trials.
    own = as_asked(runs)
    own = own[own.set_index(["game", "seed"]).index.isin(shown.set_index(["game", "seed"]).index)]
    runs = runs[runs["run_id"].isin([*shown["run_id"], *own["run_id"]])].reset_index(drop=True)
    tables = {
        name: table[table["run_id"].isin(runs["run_id"])].reset_index(drop=True)
        for name, table in (("curves", played.curves), ("policies", played.policies), ("paths", played.paths))
    }
    with Results.open(folder) as kept:
        kept.begin(played.manifest["experiment"], runs["run_id"], played.manifest["environment"])
        for fingerprint in runs["game_fingerprint"].dropna().unique():
            if (file := played.game_file(fingerprint)) is not None:
                kept.keep_game(fingerprint, file)
        kept.add(runs, **tables)
        kept.manifest["counts"] = {"runs": len(runs), "reused": 0, "points": len(tables["curves"])}
        kept.manifest["finished"] = played.manifest["finished"]
        kept.flush()
    answer = judged(runs, tables["curves"], Results.read(folder).game_file)
    (folder / "race.json").write_text(json.dumps({"race": answer.data}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
