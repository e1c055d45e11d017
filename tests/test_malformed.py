"""Two hundred malformed inputs: each is one clear sentence that names what was given and says what to do."""

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames.cli import failures
from nashgames.cli.main import app
from nashgames.store.manifest import new

P = np.array([[0.5, 0.7, 0.2], [0.3, 0.5, 0.6], [0.8, 0.4, 0.5]])


def table(text):
    """What writes a CSV file of this text."""
    return lambda path: path.write_bytes(text.encode())


def array(values):
    """What writes an NPY file of these values."""
    return lambda path: np.save(path, np.asarray(values))


def frame(values, **columns):
    """What writes a Parquet file of these values."""
    return lambda path: pd.DataFrame(values, **columns).to_parquet(path)


def changed(row, column, value):
    values = P.copy()
    values[row, column] = value
    return values


SQUARE = "0.5,0.7,0.2\n0.3,0.5,0.6\n0.8,0.4,0.5\n"
TABLES = {
    "nan.csv": (table("0.5,nan\n0.5,0.5\n"), "row 1, column 2 holds 'nan'"),
    "Nan.csv": (table("0.5,0.5\nNaN,0.5\n"), "row 2, column 1 holds 'NaN'"),
    "minus-nan.csv": (table("0.5,-nan\n0.5,0.5\n"), "'-nan'"),
    "both-nan.csv": (table("0.5,nan\nnan,0.5\n"), "'nan'"),
    "diagonal-nan.csv": (table("nan,0.7\n0.3,nan\n"), "holds 'nan'"),
    "inf.csv": (table("0.5,inf\n0.5,0.5\n"), "action 0 against action 1 is inf"),
    "minus-inf.csv": (table("0.5,-Infinity\n0.5,0.5\n"), "is -inf"),
    "overflow.csv": (table("0.5,1e400\n0.5,0.5\n"), "is inf"),
    "dash.csv": (table("0.5,0.7,-\n0.3,0.5,0.6\n-,0.4,0.5\n"), "row 1, column 3 holds '-'"),
    "na.csv": (table(",A,B\nA,0.5,n/a\nB,n/a,0.5\n"), "row 2, column 'B' holds 'n/a'"),
    "question.csv": (table(",A,B\nA,0.5,?\nB,?,0.5\n"), "holds '?'"),
    "none.csv": (table(",A,B\nA,0.5,None\nB,None,0.5\n"), "holds 'None'"),
    "quote.csv": (table('0.5,0.7,0.2\n"a,b,3\n0.8,0.4,0.5\n'), "quotation mark in row 2"),
    "comma.csv": (table('"0,5","0,7"\n"0,3","0,5"\n'), "holds '0,3', a number with a comma; write 0.3"),
    "comma-labelled.csv": (table(',A,B\nA,"0,5","0,7"\nB,"0,3","0,5"\n'), "'0,5'"),
    "complex.csv": (table("0.5,0.7j\n0.3,0.5\n"), "holds '0.7j'"),
    "comment.csv": (table("# my bots\n" + SQUARE), "comment '# my bots'"),
    "percent.csv": (table("50%,70%\n30%,50%\n"), "'50%'"),
    "fraction.csv": (table("1/2,7/10\n3/10,1/2\n"), "'1/2'"),
    "hex.csv": (table("0.5,0x1\n0x0,0.5\n"), "'0x1'"),
    "thousands.csv": (table('0,"1,200"\n"3,400",0\n'), "'3,400', a number with a comma; write 3400 or 3.400"),
    "booleans.csv": (table("0.5,true\nfalse,0.5\n"), "'true'"),
    "empty.csv": (table(""), "empty.csv' is empty"),
    "blank.csv": (table("\n\n\n"), "blank lines only"),
    "spaces.csv": (table("   \n"), "spaces.csv'"),
    "header.csv": (table("winner,loser\n"), "a header and no rows"),
    "one.csv": (table("0.5\n"), "fewer than two actions"),
    "row.csv": (table("0.5,0.7,0.2\n"), "holds 1 row and 3 columns"),
    "ragged.csv": (table("0.5,0.7\n0.3\n"), "row 2 has 1 cell"),
    "long-row.csv": (table("0.5,0.7\n0.3,0.5,0.1\n"), "row 2 has 3 cells"),
    "wide.csv": (table("0.5,0.7,0.2\n0.3,0.5,0.6\n"), "2 rows and 3 columns"),
    "semicolons.csv": (table("0.5;0.7\n0.3;0.5\n"), "separates its columns by ';'"),
    "tabs.csv": (table("0.5\t0.7\n0.3\t0.5\n"), "separates its columns by"),
    "pipes.csv": (table("0.5|0.7\n0.3|0.5\n"), "separates its columns by '|'"),
    "zero-bytes.csv": (lambda path: path.write_bytes(b"0.5,0.7\0\n0.3,0.5\n"), "zero bytes"),
    "utf16.csv": (lambda path: path.write_bytes(SQUARE.encode("utf-16")), "byte 0xff"),
    "latin.csv": (lambda path: path.write_bytes("é,b\n0.5,0.7\n0.3,0.5\n".encode("latin-1")), "byte 0xe9"),
    "json.csv": (table('{"a": 1}\n'), "json.csv'"),
    "html.csv": (table("<html><body>not found</body></html>\n"), "html.csv'"),
    "zip.csv": (lambda path: path.write_bytes(b"PK\x03\x04\x00\x00"), "zip.csv'"),
    "sum.csv": (table("0.5,0.9\n0.9,0.5\n"), "P + Pᵀ should be 1 and is off by 0.8"),
    "above.csv": (table("0.5,1.2\n-0.2,0.5\n"), "is 1.2, outside [0, 1]"),
    "counts.csv": (table("0,12\n7,0\n"), "is 12, outside [0, 1]"),
    "diagonal.csv": (table("0.9,0.7\n0.3,0.5\n"), "against itself has the value 0.9"),
    "missing.csv": (table("0.5,,0.2\n,0.5,0.6\n0.8,0.4,0.5\n"), "no value in either order"),
    "twins.csv": (table(",a,a\na,0.5,0.7\na,0.3,0.5\n"), "labelled 'a'"),
    "swapped.csv": (table(",a,b\nb,0.5,0.7\na,0.3,0.5\n"), "labels row 1 'b' and column 1 'a'"),
    "unlabelled.csv": (table(",a,\na,0.5,0.7\n,0.3,0.5\n"), "no label for action 1"),
    "control.csv": (table(",\x1b[31ma,b\nb,0.5,0.7\n\x1b[31ma,0.3,0.5\n"), r"'\x1b[31ma'"),
    "huge-label.csv": (table(f",{'x' * 3000},b\nb,0.5,0.7\n{'x' * 3000},0.3,0.5\n"), "xxxx…"),
    "open-quote.csv": (table('winner,loser\na,"b\n'), "a quotation mark in row 2 is never closed"),
    "arabic.csv": (table("0.5,٠.٧\n0.3,0.5\n"), "row 1, column 2 holds '٠.٧', which is not a number"),
    "underscore.csv": (table("0.5,0_7\n0.3,0.5\n"), "row 1, column 2 holds '0_7', which is not a number"),
    "wide-cell.csv": (table(f"winner,loser\n{'x' * 140_000},b\n"), "is not a CSV table: field larger than field limit"),
    "reference.csv": (table("label,probability\na,0.5\nb,0.5\n"), "those of a reference policy; give it with"),
    "kept": (lambda path: (path.mkdir(), (path / "manifest.json").touch()), "is a results directory; draw it with"),
    "folder": (lambda path: path.mkdir(), "'folder' is a folder; name a file in it"),
    "mine.py": (table("def game(): ..."), "'mine.py' is a Python file; add the name of the game in it"),
    "mine.py:game": (table(""), "there is no file 'mine.py'; give the path"),
    "self.csv": (table("winner,loser\na,a\n"), "'a' against 'a'"),
    "negative.csv": (table("winner,loser,count\na,b,-3\n"), "counts -3 wins"),
    "nan-count.csv": (table("winner,loser,count\na,b,nan\n"), "'nan'"),
    "no-count.csv": (table("winner,loser,count\na,b,\n"), "has no number of wins"),
    "word-count.csv": (table("winner,loser,count\na,b,many\n"), "'many'"),
    "draws.csv": (table("winner,loser,draws\na,b,3\n"), "has a column 'draws' and no column 'count'"),
    "ties.csv": (table("winner,loser,count,ties\na,b,3,1\n"), "has a column 'ties'"),
    "no-winner.csv": (table("winner,loser\n,b\n"), "has no winner"),
    "misspelt.csv": (table("winer,loser\na,b\n"), "'winner' by 'winer'"),
    "two-counts.csv": (table("winner,loser,count,count\na,b,1,2\n"), "two columns 'count'"),
    "unmet.csv": (table("winner,loser\na,b\nc,a\n"), "'b' against 'c' has no value"),
    "no-score.csv": (table("action,opponent\na,b\n"), "'score' is missing; a long table has"),
    "again.csv": (table("action,opponent,score\na,b,1\na,b,0\n"), "lists that pair a second time"),
    "foreign.csv": (table("model_a,model_b,outcome\nx,y,x\n"), "model_a, model_b"),
    "sheet.xlsx": (lambda path: path.write_bytes(b"PK\x03\x04"), "ends in '.xlsx'"),
    "text.txt": (table(SQUARE), "ends in '.txt'"),
    "nan.npy": (array(changed(0, 1, np.nan)), "action 0 against action 1 is nan"),
    "inf.npy": (array(changed(0, 1, np.inf)), "is inf"),
    "cube.npy": (array(np.zeros((2, 2, 2))), "an array of 3 dimensions"),
    "line.npy": (array(np.zeros(4)), "an array of 1 dimension;"),
    "wide.npy": (array(np.full((2, 3), 0.5)), "2 rows and 3 columns"),
    "none.npy": (array(np.zeros((0, 0))), "shape (0, 0)"),
    "complex.npy": (array(P.astype(complex)), "complex128"),
    "words.npy": (array(np.array([["a", "b"], ["c", "d"]])), "<U1"),
    "objects.npy": (lambda path: np.save(path, np.array([[{}, 1], [2, 3]], object)), "pickled Python objects"),
    "cut.npy": (lambda path: path.write_bytes(_npy(P)[:-20]), "cut short"),
    "junk.npy": (table("these are not numbers"), "no readable header"),
    "version.npy": (lambda path: path.write_bytes(b"\x93NUMPY\x09\x00" + b"x" * 100), "no readable header"),
    "nan.parquet": (
        lambda path: _parquet_with_nan(path),
        "column 'b' holds nan",
    ),
    "words.parquet": (frame({"a": ["x", "y"], "b": ["z", "w"]}), "words.parquet'"),
    "dates.parquet": (frame({"a": pd.to_datetime(["2020", "2021"]), "b": [0.5, 0.5]}), "timestamp"),
    "none.parquet": (frame({"a": [], "b": []}), "0 rows"),
    "junk.parquet": (table("PAR1 no table PAR1"), "cannot be read as Parquet"),
    "cut.parquet": (
        lambda path: (frame(P)(path), path.write_bytes(path.read_bytes()[:-30])),
        "cannot be read as Parquet",
    ),
    "link.csv": (lambda path: path.symlink_to("nowhere.csv"), "a link to a file that is not there"),
    "loop.csv": (lambda path: path.symlink_to("loop.csv"), "a link to a file that is not there"),
    "folder.csv": (lambda path: path.mkdir(), "is a folder"),
    "zero.csv": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "fifo.csv": (lambda path: os.mkfifo(path), "not a regular file"),
}
"""Files that hold no preference game, as GAME: what writes each, and what the sentence says of it."""


def _npy(values):
    from io import BytesIO

    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


def _parquet_with_nan(path):
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(pa.table({"a": [0.5, 0.3], "b": [float("nan"), 0.5]}), path)


BIG = "1" * 10_000
OPTIONS = {
    "run --beta x": "'x'",
    "run --beta -1": "'-1'",
    "run --beta nan": "'nan'",
    "run --beta inf": "'inf'",
    "run --beta 1e155": "'1e155'",
    "run --beta 1e300": "'1e300'",
    "run --beta 1e-300": "'1e-300'",
    "run --beta 1e-9": "beta is 1e-09",
    "run --beta ''": "--beta is empty",
    "run --beta ٣": "--beta is '٣'; accepted: 0, or a number",
    "run --queries ٣٠": "--queries is '٣٠'; accepted: an integer",
    "run --timeout ٣": "--timeout is '٣'; accepted: a number of seconds",
    "run --tune trials=٣": "trials = ٣; accepted: an integer from 1",
    "run disc[strength=٣]": "disc[strength] is '٣'; accepted: a number",
    "run -s 'nash-mp[eta=٣]'": "nash-mp[eta] is '٣'; accepted: a finite number",
    "run -s 'nash-mp[eta=1e-320]'": "nash-mp[eta] is 9.99989e-321, which programs take for 0",
    "run -s 'nash-mp[eta=1:0.1:5]'": "'1:0.1:5' in 'nash-mp[eta=1:0.1:5]' is not a range; accepted: low:high:count",
    "run -s 'nash-mp[eta=1:1:5]'": "the smaller first",
    "run --tune eta=10:0.1:5": "the smaller first",
    "run -s nash-mp,,online-ipo": "'nash-mp,,online-ipo' has nothing in front of a comma",
    "run -s NASH-MP": "did you mean 'nash-mp'?",
    "run --out here --out there": "--out is given twice; give it once",
    "run --seeds=2 --seeds 3": "--seeds is given twice; give it once",
    "run --no-plot=1": "--no-plot takes no value; leave it out",
    "run -s mine.py": "'mine.py' is a Python file; add the name of the solver in it",
    "list GAMES": "did you mean 'games'?",
    "sweep wins.csv": "EXPERIMENT is 'wins.csv', a table; play it with: nashgames sweep --game wins.csv",
    "run --beta 0.1,0.2": "--beta has 2 values (0.1,0.2)",
    "run --beta 1e": "'1e'",
    f"run --beta {BIG}": "'1111",
    "run --beta 1e-400": "'1e-400'",
    "run --beta 1,000": "write 1000",
    "run -n 1": "'1'",
    "run -n 0": "'0'",
    "run -n -5": "'-5'",
    "run -n 2.5": "'2.5'",
    "run -n ten": "'ten'",
    "run -n 1e9": "1,000,000,000",
    f"run -n {BIG}": "'1111",
    "run castles -n 10": "--actions is 10",
    "run circulant -n 2": "--actions is 2",
    "run --seed -1": "'-1'",
    "run --seed 1.5": "'1.5'",
    "run --seed 4294967296": "'4294967296'",
    f"run --seed {BIG}": "'1111",
    "run --seeds 0": "'0'",
    "run --seeds 10000000": "50,000,000 runs",
    "run --queries 0": "'0'",
    "run --queries many": "'many'",
    "run --queries 1 -s nash-mp": "--queries is 1",
    "run --queries 99999999999 -s nash-mp": "99999999999",
    "run --comparisons 100": "--comparisons is 100",
    "run --comparisons 1 --feedback 'duels[batch=5]' -s nash-mp": "--comparisons is 1",
    "run --comparisons 100 --queries 10 --feedback duels": "(10 and 100)",
    "run --tolerance -1": "'-1'",
    "run --tolerance 2": "'2'",
    "run --tolerance 0.5": "'0.5'",
    "run --tolerance nan": "'nan'",
    "run --tolerance 1e-400": "'1e-400'",
    "run --scheduler ''": "--scheduler is ''",
    "run --scheduler nowhere": "--scheduler is 'nowhere'; accepted: the address of a Dask scheduler",
    "run --start uniform": "unknown --start 'uniform'; accepted: reference, equilibrium",
    "run ''": "GAME is empty",
    "run --records 0": "'0'",
    "run --records 2000000": "--records is 2000000",
    "run --record-every 0": "'0'",
    "run --records 5 --record-every 5": "both given",
    "run --dtype float16": "'float16'",
    "run --dtype double": "'double'",
    "run --device tpu": "'tpu'",
    "run --out ''": "--out is empty; accepted: a directory",
    "run --target best": "'best'",
    "run --start nowhere": "'nowhere'",
    "run --start 'equilibrium[distance=-1]'": "-1",
    "run -s nash-pm": "'nash-pm'",
    "run -s ''": "--solver is empty",
    "run -s ,": "--solver is empty",
    "run -s 'nash-mp[eta=-1]'": "nash-mp[eta] is -1",
    "run -s 'nash-mp[eta=nan]'": "nash-mp[eta] is nan",
    "run -s 'nash-mp[eta=x]'": "nash-mp[eta] is 'x'",
    "run -s 'nash-mp[eta]'": "'eta'",
    "run -s 'nash-mp[eta=0.1'": "nash-mp[eta=0.1",
    "run -s 'nash-mp]'": "nash-mp]",
    "run -s 'nash-mp[eta=0.1]x'": "nash-mp[eta=0.1]x",
    "run -s 'nash-mp[eta=0.1,eta=0.2]'": "'eta' twice",
    "run -s 'nash-mp[etta=0.1]'": "no parameter 'etta'",
    "run -s 'nash-mp[eta=1:2]'": "'1:2'",
    "run -s 'nash-mp[eta=0.1:1:3:4]'": "'0.1:1:3:4' in",
    "run -s 'average[nash-mp,nash-prox]'": "average wraps one solver, and 'average[nash-mp,nash-prox]' names 2",
    f"run -s 'nash-prox[inner={'1' * 400}]'": "nash-prox[inner] is 1111",
    "run -s 'nash-mp[eta=0:2:3]'": "0:2:3",
    "run -s 'nash-mp[eta=0.1:1:1]'": "0.1:1:1",
    "run -s 'nash-mp[eta=0.1:1:9999]'": "0.1:1:9999",
    "run -s 'nash-prox[inner=0]'": "nash-prox[inner] is 0",
    "run -s 'nash-prox[inner=1.5]'": "nash-prox[inner] is '1.5'",
    f"run -s 'nash-prox[inner={BIG}]'": "nash-prox[inner] is '1111",
    "run -s 'nash-prox[eta=1:2:1000,step=1:2:1000]'": "1,000,000",
    f"run -s '{'average[' * 1500}nash-mp{']' * 1500}'": "average[average[",
    "run -s average": "'average'",
    "run -s 'average[nope]'": "'nope'",
    "run -s mine.py:Mine": "'mine.py'",
    "run -s disc": "'disc' is a game, not a solver",
    "run --feedback duel": "'duel'",
    "run --feedback 'exact[batch=3]'": "--feedback 'exact' takes no parameters; leave out 'batch'",
    "run --feedback 'duels[batch=0]'": "duels[batch] is 0",
    "run --feedback 'duels[noise=2]'": "duels[noise] is 2",
    "run --policy transformers": "'transformers'",
    "run --policy transformer": "are not sequences of tokens",
    "run --policy mlp -s nash-mp": "policy is 'mlp'",
    "run disc -n 5 -s online-ipo --policy 'log-linear[dimension=1000]'": "dimension is 1000",
    "run disc -n 5 -s online-ipo --policy 'log-linear[features=spectral,dimension=9]'": "dimension is 9",
    "run --policy 'mlp[width=0]'": "mlp[width] is 0",
    "run --optimiser adamw": "'adamw'",
    "run --optimiser 'adam[schedule=cos]'": "'cos'",
    "run --optimiser 'adam[horizon=5]'": "adam[horizon] is 5",
    "run --tune steep": "'steep'",
    "run --tune eta=1:2": "'1:2'",
    f"run --tune trials={BIG}": "1111",
    "run --reference nowhere": "'nowhere'",
    "run --reference 'tilted[span=x]'": "tilted[span] is 'x'",
    "run nope": "'nope'",
    "run cure": "'cure' is a preset, not a game",
    "run nash-mp": "'nash-mp' is a solver, not a game",
    "run a.toml": "'a.toml'",
    "run nope.csv": "'nope.csv'",
    "run disc[strength=x]": "disc[strength] is 'x'",
    "run disc[strength=-1]": "disc[strength] is -1; accepted: a number from 0 to 1,000,000",
    "run disc[link=linaer]": "disc[link] is 'linaer'; did you mean 'linear'?",
    f"run disc[planes={'1' * 400}]": "disc[planes] is 1111",
    "run castles[round=5]": "castles[round] is '5'",
    "run soccer10[seed=1]": "game 'soccer10' takes no parameters; leave out 'seed'",
    "run disc[n=5]": "'disc[n=5]' has its size in brackets; write disc and give actions: -n 5",
    "run disc[actions=5]": "has its size in brackets",
    "run blotto[n=5]": "no parameter 'n'",
    "run disc[strenght=2]": "no parameter 'strenght'",
    "run 'disc[contexts=0]'": "disc[contexts] is 0",
    "run a b": "'b'",
    "run -x": "'-x'",
    "run --n 5": "'--n'; did you mean '--actions'?",
    "run --lr 5": "'--lr'; a step is a parameter of a solver",
    "run --config a.toml": "'--config'; a file or a preset is played by: nashgames sweep",
    "run --game disc": "'--game'; GAME is given without an option",
    "run --dry-rum": "'--dry-rum'",
    "run --epochs 3": "'--epochs'; did you mean '--queries'?",
    "run --gpu": "'--gpu'; did you mean '--device'?",
    "run --output x": "'--output'; did you mean '--out'?",
    "run --beta": "--beta needs a value",
    "runn": "'runn'; did you mean 'run'?",
    "help": "'help' is an option, not a command; write: nashgames --help",
    "show 'nash-mp[eta=x]'": "nash-mp[eta] is 'x'",
    "show 'suboptimality[x=1]'": "metric 'suboptimality' takes no parameters; leave out 'x'",
    "show 'duels[batch=0]'": "duels[batch] is 0",
    "show 'tilted[spam=1]'": "has no parameter 'spam'; did you mean 'span'?",
    "check castles": "'castles' is a game, not a solver",
    "merge here here --out there": "a directory is given twice",
    "sweep disc": "'disc' is a game, not an experiment",
    "sweep nowhere.toml": "'nowhere.toml'",
    "sweep rates": "'rates'; did you mean 'rate'?",
    "sweep --beta 0 -s nash-mp": "nash-mp",
    "equilibrium": "needs GAME",
    "equilibrium disc --beta -1": "'-1'",
    "equilibrium disc --beta 0.1 --vertex": "--beta 0.1,0",
    "equilibrium disc --format gif": "'gif'",
    "plot": "needs DIRECTORY",
    "plot nowhere": "'nowhere'",
    "plot a b": "--out",
    "plot nowhere --where ''": "'nowhere'",
    "plot nowhere --facet ''": "--facet is empty; accepted: columns of runs",
    "plot nowhere --figure rates --facet beta": "--facet is for the axis of curves",
    "plot nowhere --y profit": "'profit'",
    "plot nowhere --format gif": "'gif'",
    "plot nowhere --font big": "'big'",
    "plot nowhere --x seconds": "'seconds'",
    "runs": "needs DIRECTORY",
    "runs nowhere": "'nowhere'",
    "runs nowhere --limit 0": "--limit is '0'",
    "runs nowhere --limit -3": "--limit is '-3'",
    "runs nowhere --sort ''": "--sort is empty",
    "runs nowhere --were x": "'--were'; did you mean '--where'?",
    "export": "needs DIRECTORY",
    "export nowhere": "'nowhere'",
    "export nowhere --format xlsx": "'xlsx'",
    "export nowhere --y suboptimality": "--y is what the cells of --format latex show",
    "export nowhere --out no/where.csv": "there is no folder 'no'",
    "init nope": "'nope'",
    "init disc": "'disc' is a game, not a preset",
    "report": "needs DIRECTORY",
    "report nowhere": "'nowhere'",
    "report nowhere --out page.txt": "'page.txt'",
    "report nowhere --out ''": "--out is empty",
    "verify": "needs DIRECTORY",
    "verify nowhere": "'nowhere'",
    "list solver": "'solver'; did you mean 'solvers'?",
    "show nope": "'nope'",
    "check nope": "'nope'",
    "check mine.py:Mine": "'mine.py'",
}
"""Command lines, and what the sentence says of each."""

EXPERIMENTS = {
    'game = "disc"\nbeta = [0.1, 1e-400]\n': "1e-400 is too small",
    "": "it sets no key",
    "[experiment]\nbeta = 0.1": "[experiment]",
    "beta = 2020-01-01": "beta is 2020-01-01",
    "beta = 'small'": "beta is 'small'",
    "beta = true": "beta is true",
    "beta = []": "beta is an empty list",
    "beta = [[0.1]]": "beta is [0.1]",
    "beta = nan": "beta is nan",
    "beta = 1e300": "beta is 1e+300",
    "beta = 0.1\nbeta = 0.2": "line 2",
    "beta = ": "line 1",
    "beta 0.1": "line 1",
    "Game = 'disc'": "'Game'; did you mean 'game'?",
    "timeout = 3": "'timeout' is no key of an experiment, but an option of the command; write --timeout",
    "no-plot = true": "write --no-plot",
    "betas = 0.1": "'betas'; did you mean 'beta'?",
    "game = 3": "game is 3",
    "game = ''": "game is ''",
    "game = 'disc,castles'": "'disc,castles'",
    "game = 'disc[x'": "disc[x",
    r'game = "\u001b[31m"': r"\x1b",
    "actions = 1": "actions is 1",
    "actions = 2.5": "actions is 2.5",
    "actions = '1e400'": "'1e400'",
    "solver = 'nash-pm'": "'nash-pm'",
    "solver = {a = 1}": "solver is {'a': 1}",
    "queries = -5": "queries is -5",
    "queries = inf": "queries is inf",
    "seeds = 0": "seeds is 0",
    f"seed = {BIG}": "thousands of digits",
    f"game = {'[' * 3000}{']' * 3000}": "nests lists too deeply",
    "name = '../up'": "'../up'",
    "name = ''": "name is ''",
    "dtype = 'float16'": "'float16'",
    "verdict = 'guilty'": "'guilty'",
    "tolerance = 2": "tolerance is 2",
    "records = 5\nrecord_every = 5": "both given",
    "tune = 3": "tune is 3",
    "tune = {step = 3}": "step = 3",
    "also = 3": "also is 3",
    "[[also]]\nseeds = 3": "'seeds'",
    "\xff": "not UTF-8 text",
    "game = 'disc'\ngame": "line 2",
}
"""Texts of experiment files, and what the sentence says of each."""

REFERENCES = {
    "label,probability\nrock,.5\npaper,.2\n": "'scissors'",
    "label,probability\nrock,.5\npaper,.2\nscissor,.3\n": "'scissor'",
    "label,probability\nrock,.5\npaper,.5\nscissors,0\n": "the probability 0",
    "label,probability\nrock,.5\npaper,.6\nscissors,-.1\n": "the probability -0.1",
    "label,probability\nrock,.5\npaper,.2\nscissors,.2\n": "sum to 0.9",
    "label,probability\nrock,.5\npaper,\nscissors,.5\n": "'paper' the probability nan",
    "label,probability\nrock,.5\npaper,nan\nscissors,.5\n": "'nan'",
    "label,probability\nrock,.5\nrock,.2\nscissors,.3\n": "'rock' twice",
    "label,action,probability\nrock,1,.5\npaper,0,.2\nscissors,2,.3\n": "names other actions by label than by action",
    "label,prob\nrock,1\n": "'probability' by 'prob'",
    "probability\n.5\n.2\n.3\n": "does not say whose its probabilities are",
    "a,b\n1,2\n": "the columns a, b",
    "": "is empty",
}
"""Texts of reference files for rock-paper-scissors, and what the sentence says of each."""


CODE = {
    "def f(:": "'mine.py' does not run: SyntaxError at line 1",
    "raise RuntimeError('one\\ntwo')": "'mine.py' does not run: RuntimeError at line 1: one two; correct that file",
    "import sys; sys.exit(3)": "'mine.py' does not run: SystemExit at line 1: 3; correct that file",
    "def game(): raise SystemExit(3)": "the game 'mine.py:game' fails: SystemExit at line 1 of mine.py: 3; ",
    "def game(): return game()": "the game 'mine.py:game' fails: RecursionError",
    "def game(needed): ...": "missing 1 required positional argument: 'needed'; correct that code",
    "def game(): ...": "'mine.py:game' is not a game: it returned NoneType",
    "def game(): return make_game([[0.2, 0.1], [-0.1, 0]])": "margins[0, 0] is 0.2; accepted: A = P − ½",
    "def game(): return make_game([[0, 0.7], [0.3, 0]])": "margins[0, 1] is 0.7 and margins[1, 0] is 0.3; accepted:",
    "def game(): return make_game([[0, 0], [0, 0]], description=Description(labels=('a',)))": "1 labels, 1 of them",
    "def game(): return make_game([[0, 0], [0, 0]], description=Description(labels=('a', 'a')))": "2 labels, 1 of them",
    "game = 3": "'mine.py' defines no solver or game; write a class or a function in it",
}
"""Python files with a game, and what the sentence says of each."""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASHGAMES_DEBUG", raising=False)


def refused(arguments, given):
    """The one clear sentence of a refused command: what was given, what is accepted or to do, and nothing else."""
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    assert given in line
    assert line.startswith("error: ")
    assert "mistake in nashgames" not in line
    assert line.isprintable()
    assert len(line) < 420
    # What is accepted, or what to do, follows.
    assert re.search(r"; |[Aa]ccepted: |did you mean", line), line
    assert not re.search(r"; ?;|\.\.$|\?;|'' '", line), line
    return line


@pytest.mark.parametrize("name", TABLES)
def test_a_malformed_table_is_refused(name):
    write, given = TABLES[name]
    write(Path(name))
    assert given in refused(["run", name, "--queries", "10", "--no-plot"], given)
    assert not Path("results").exists()


@pytest.mark.parametrize("line", OPTIONS, ids=lambda line: line[:60])
def test_a_malformed_command_line_is_refused(line):
    refused(shlex.split(line), OPTIONS[line])
    assert not Path("results").exists()


@pytest.mark.parametrize("text", EXPERIMENTS, ids=lambda text: text[:30])
def test_a_malformed_experiment_is_refused(text):
    Path("mine.toml").write_bytes(text.encode("latin-1"))
    refused(["sweep", "mine.toml"], EXPERIMENTS[text])


@pytest.mark.parametrize("text", CODE, ids=lambda text: text[:40])
def test_malformed_code_is_refused(text):
    imported = "from nashgames import make_game; from nashgames.core.game import Description\n"
    Path("mine.py").write_text(imported * ("make_game" in text) + text)
    refused(["show", "mine.py:game", "--no-plot"], CODE[text])


@pytest.mark.parametrize("text", REFERENCES, ids=lambda text: text[:40])
def test_a_malformed_reference_is_refused(text):
    Path("mu.csv").write_text(text)
    refused(["run", "circulant", "--reference", "mu.csv", "--queries", "10", "--no-plot"], REFERENCES[text])


def manifest(text):
    """What makes a directory with this manifest."""

    def write(path):
        path.mkdir()
        (path / "manifest.json").write_text(text)

    return write


DIRECTORIES = {
    "a file": (lambda path: path.write_text(""), "holds no results"),
    "an empty folder": (lambda path: path.mkdir(), "holds no results"),
    "no JSON": (manifest("{"), "manifest.json"),
    "a list": (manifest("[]"), "manifest.json"),
    "another schema": (manifest('{"schema": 99}'), "manifest.json"),
    "nothing said": (manifest("{}"), "manifest.json"),
    "figures of others": (manifest(json.dumps(new() | {"figures": ["../mine.png"]})), "is not a manifest of nashgames"),
    "no names": (manifest(json.dumps(new() | {"figures": [3]})), "is not a manifest of nashgames"),
}


@pytest.mark.parametrize("command", ["plot", "report", "runs", "export", "verify"])
@pytest.mark.parametrize("kind", DIRECTORIES)
def test_a_malformed_directory_is_refused(kind, command):
    write, given = DIRECTORIES[kind]
    write(Path("mine"))
    refused([command, "mine"], given)


def test_a_place_that_is_a_link_to_nothing_is_refused_before_anything_is_played():
    Path("mine").symlink_to("nowhere")
    line = refused(["run", "--out", "mine"], "--out is 'mine', a link to what is not there; accepted: a directory")
    assert "free space" not in line


def test_there_are_two_hundred_of_them():
    assert sum(map(len, (TABLES, OPTIONS, EXPERIMENTS, REFERENCES, CODE, DIRECTORIES))) >= 200


def test_a_file_that_may_not_be_read_is_not_answered_with_where_to_write(monkeypatch):
    """As root every file may be read: what the operating system says is put in its place."""
    Path("mine.csv").write_text(SQUARE)

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    line = refused(["run", "mine.csv", "--no-plot"], "'mine.csv' cannot be read: Permission denied")
    assert "--out" not in line
    sentence, code = failures.explain(PermissionError(13, "Permission denied", "mine.csv"))
    assert sentence.startswith("cannot read 'mine.csv': Permission denied; change its permissions")
    assert code == 2


def test_a_folder_that_may_not_be_entered_is_refused_in_one_sentence(monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    refused(["run", "--out", "mine"], "cannot use 'mine': Permission denied; change the permissions there")
