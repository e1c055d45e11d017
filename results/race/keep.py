"""Keep what figures and numbers of a race rest on: `python results/race/keep.py DIRECTORY` of a played race.

The runs that are reported and those of the methods as they were asked for, whole; not those that tried a step, seven of
ten. `nashgames plot results/race` and `nashgames verify results/race` need no more.
"""

import json
import sys
from pathlib import Path

from nashgames.cli.race import judged
from nashgames.defaults import TUNING
from nashgames.store import Results

HERE = Path(__file__).parent


def main() -> None:
    played = Results.read(sys.argv[1])
    runs = played.runs[played.runs["run_id"].isin(played.manifest["run_ids"])]
    runs = runs[runs["role"] != TUNING].reset_index(drop=True)
    with Results.open(HERE) as kept:
        kept.begin(played.manifest["experiment"], runs["run_id"], played.manifest["environment"])
        mine = {name: getattr(played, name) for name in ("curves", "policies", "paths")}
        mine = {
            name: table[table["run_id"].isin(runs["run_id"])].reset_index(drop=True) for name, table in mine.items()
        }
        kept.add(runs, **mine)
        kept.compact()
    answer = judged(runs, mine["curves"], Results.read(HERE).game_file)
    (HERE / "race.json").write_text(json.dumps(answer.data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
