"""A user's files: every layout, every meaning of the values, every mistake, and reference policies."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nashgames.core.game import make_game
from nashgames.errors import NashGamesError
from nashgames.games import tables
from nashgames.games.tables import is_path, load, path_selection, read_reference

LABELS = ("rock", "paper", "scissors")
MARGINS = np.array([[0, -0.25, 0.375], [0.25, 0, -0.5], [-0.375, 0.5, 0]])
P = MARGINS + 0.5
WINS = np.array([[0, 2, 7], [6, 0, 0], [1, 4, 0]])
"""Counts of 8, 8 and 4 duels whose shares are P exactly."""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text, bytes, an array or a frame to a file and give its path."""

    def to_file(name: str, content: Any, **options: Any) -> str:
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            getattr(content, "to_csv" if path.suffix == ".csv" else "to_parquet")(path, **options)
        elif isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return to_file


def frame(values: np.ndarray = P, labels: tuple[str, ...] = LABELS) -> pd.DataFrame:
    return pd.DataFrame(values, index=list(labels), columns=list(labels))


def long(values: np.ndarray, pairs: Any = None) -> str:
    n = len(values)
    pairs = pairs or [(i, j) for i in range(n) for j in range(n) if i != j]
    rows = [f"{LABELS[i]},{LABELS[j]},{values[i, j]}" for i, j in pairs]
    return "\n".join(["action,opponent,score", *rows])


def duels() -> str:
    """The duels of WINS, some one a row, some repeated."""
    rows = [f"{LABELS[i]},{LABELS[j]},{WINS[i, j]}" for i in range(3) for j in range(3) if WINS[i, j]]
    rows = [*rows[1:], f"{LABELS[0]},{LABELS[1]},1.5", f"{LABELS[0]},{LABELS[1]},0.5"]
    return "\n".join(["winner,loser,count", "rock,paper,0", *rows])


CSV = {
    "header and index": frame().to_csv(),
    "header with a named corner": frame().to_csv(index_label="agent"),
    "header": frame().to_csv(index=False),
    "header and counted index": frame().reset_index(drop=True).to_csv(),
    "index": frame().to_csv(header=False),
    "index and counted header": frame().set_axis(range(3), axis=1).to_csv(),
    "windows line ends, a byte order mark and blank lines": "\ufeff\n" + frame().to_csv(lineterminator="\r\n") + "\n\n",
    "quoted": frame().to_csv(quoting=1),
    "padded": "\n".join([" rock , paper, scissors", *(", ".join(map(str, row)) for row in P)]),
    "an empty diagonal": frame(np.where(np.eye(3), np.nan, P)).to_csv(),
    "upper triangle": frame(np.where(np.tri(3, k=-1), np.nan, P)).to_csv(),
    "scores": long(P),
    "scores in one order": long(P, [(0, 1), (2, 0), (1, 2)]),
    "scores with a diagonal": long(P) + "\nrock,rock,0.5\npaper,paper,",
    "wins": duels(),
}


@pytest.mark.parametrize("form", CSV)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_csv_layout_is_the_same_game(form: str, dtype: Any, write: Write) -> None:
    game = load(write("game.csv", CSV[form]), dtype=dtype)
    assert game.margins.dtype == dtype
    np.testing.assert_array_equal(game.margins.to_dense(), MARGINS)
    assert game.description.labels == LABELS
    np.testing.assert_allclose(game.log_reference, -np.log(3))


UNLABELLED = {
    "bare": frame().to_csv(header=False, index=False),
    "numbered": frame().reset_index(drop=True).set_axis(range(3), axis=1).to_csv(),
    "numbered above": frame().set_axis(range(3), axis=1).to_csv(index=False),
    "numbered beside": frame().reset_index(drop=True).to_csv(header=False),
    "bare, the diagonal empty": frame(np.where(np.eye(3), np.nan, P)).to_csv(header=False, index=False),
    "long, out of order": "action,opponent,score\n2,1,1\n0,2,0.875\n0,1,0.25\n",
}


@pytest.mark.parametrize("form", UNLABELLED)
def test_numbers_from_zero_are_no_labels(form: str, write: Write) -> None:
    game = load(write("game.csv", UNLABELLED[form]))
    np.testing.assert_array_equal(game.margins.to_dense(), MARGINS)
    assert game.description.labels is None


def test_other_numbers_are_labels(write: Write) -> None:
    identifiers = ("101", "7", "30")
    for content in (frame(labels=identifiers).to_csv(), frame(labels=identifiers).to_csv(index_label="id")):
        game = load(write("game.csv", content))
        assert game.description.labels == identifiers
        np.testing.assert_array_equal(game.margins.to_dense(), MARGINS)
    assert load(write("one.csv", frame(labels=("1", "2", "3")).to_csv(index=False))).description.labels == (
        "1",
        "2",
        "3",
    )


def test_words_for_nothing_may_be_labels(write: Write) -> None:
    names = ("NA", "None", "null")
    text = long(P)
    for old, new in zip(LABELS, names, strict=True):
        text = text.replace(old, new)
    assert load(write("game.csv", text)).description.labels == names


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".parquet", frame()),
        (".parquet", frame().rename_axis("agent")),
        (".parquet", frame().reset_index()),
        (".parquet", frame().reset_index(drop=True)),
        (".parquet", frame(P.astype(np.float32))),
        (".parquet", pd.read_csv(io.StringIO(long(P)))),
        (".parquet", pd.read_csv(io.StringIO(duels()))),
        (".parquet", pd.read_csv(io.StringIO(duels())).astype({"winner": "category"})),
        (".npy", P),
        (".npy", np.asfortranarray(P)),
        (".npy", P.astype(">f4")),
        (".npy", P.astype(np.float16)),
        (".npy", P.astype(np.longdouble)),
    ],
)
def test_parquet_and_npy(suffix: str, content: Any, write: Write) -> None:
    game = load(write("game" + suffix, content))
    np.testing.assert_array_equal(game.margins.to_dense(), MARGINS)
    assert game.description.labels == (LABELS if suffix == ".parquet" else None)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.bool_])
def test_integers_and_truth_values_are_numbers(kind: Any, write: Write) -> None:
    wins = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], kind)
    game = load(write("game.npy", wins) + "[values=wins]")
    np.testing.assert_array_equal(game.margins.to_dense(), [[0, 0.5, -0.5], [-0.5, 0, 0.5], [0.5, -0.5, 0]])


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (MARGINS, "values=margins"),
        (2000 * MARGINS, "scale=1000"),
        (2000 * MARGINS, "values=scores,scale=1000"),
        (WINS, "values=wins"),
        (P, "values=probabilities,symmetrise=true"),
        (P, "missing=half"),
    ],
)
@pytest.mark.parametrize("layout", ["matrix", "long"])
def test_what_the_values_mean(values: np.ndarray, options: str, layout: str, write: Write) -> None:
    text = frame(values).to_csv() if layout == "matrix" else long(values)
    np.testing.assert_array_equal(load(f"{write('game.csv', text)}[{options}]").margins.to_dense(), MARGINS)


def test_prior_wins_are_added_to_both_sides(write: Write) -> None:
    wins = np.where([[0, 1, 1], [1, 0, 0], [1, 0, 0]], WINS, 0)
    path = write("game.npy", wins)
    with pytest.raises(NashGamesError, match="action 1 against action 2 has no value"):
        load(f"{path}[values=wins]")
    game = load(f"{path}[values=wins,prior=1]")
    np.testing.assert_allclose(game.margins.to_dense()[0], [0, 3 / 10 - 0.5, 8 / 10 - 0.5], rtol=1e-15)
    assert game.margins.to_dense()[1, 2] == 0
    assert any("1 of 3 pairs never met and are even by the prior" in note for note in game.description.notes)
    assert "the others met 8 times" in game.description.notes


def test_symmetrise_averages_and_says_by_how_much(write: Write) -> None:
    off = P + np.array([[0, 0, 0], [0.02, 0, 0], [0.004, 0, 0.5]])
    path = write("game.csv", frame(off))
    with pytest.raises(NashGamesError) as caught:
        load(path)
    assert "'scissors' against itself has the value 1, not 0.5" in str(caught.value)
    path = write("game.csv", frame(np.where(np.eye(3), 0.5, off)))
    with pytest.raises(NashGamesError) as caught:
        load(path)
    for part in ("off by 0.02 for 'rock' against 'paper'", "worst of 2 among 3 pairs", f"{path}[symmetrise=true]"):
        assert part in str(caught.value)
    game = load(write("game.csv", frame(off)) + "[symmetrise=true]")
    margins = game.margins.to_dense()
    np.testing.assert_allclose(margins, (off - off.T) / 2, atol=1e-16)
    np.testing.assert_array_equal(margins, -margins.T)
    assert game.description.notes == (
        "P + Pᵀ was off by at most 0.02 ('rock' against 'paper'); P and 1 − Pᵀ were averaged",
        "the diagonal was off by at most 1 from P + Pᵀ = 1 and was set to ½",
    )
    assert load(write("exact.npy", P) + "[symmetrise=true]").description.notes == (
        "P + Pᵀ is 1 already; there was nothing to symmetrise",
    )


@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-10), (np.float32, 1e-7)])
def test_rounding_is_evened_out_and_noted(dtype: Any, off: float, write: Write) -> None:
    values = P.copy()
    values[0, 1] += off
    game = load(write("game.npy", values.astype(dtype)))
    margins = game.margins.to_dense()
    np.testing.assert_array_equal(margins, -margins.T)
    assert "up to rounding" in game.description.notes[0]
    with pytest.raises(NashGamesError, match="P \\+ Pᵀ should be 1"):
        load(write("game.npy", values.astype(dtype) + 20 * np.array(off, dtype) * (values == 0.75)))


def test_missing_pairs_become_even_on_request(write: Write) -> None:
    values = P.copy()
    values[[0, 1], [1, 0]] = np.nan
    path = write("game.csv", frame(values))
    with pytest.raises(NashGamesError) as caught:
        load(path)
    assert "'rock' against 'paper' has no value in either order (1 of 3 pairs are missing)" in str(caught.value)
    assert f"{path}[missing=half]" in str(caught.value)
    game = load(path + "[missing=half]")
    np.testing.assert_array_equal(game.margins.to_dense(), np.where(np.isnan(values), 0, MARGINS))
    assert game.description.notes == ("1 of 3 pairs had no value and were set to ½, 'rock' against 'paper' first",)


def test_large_tables_are_checked_across_tiles(write: Write) -> None:
    n = 1100
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (n, n))
    values = np.triu(values, 1) - np.triu(values, 1).T
    path = write("game.npy", values)
    game = load(path + "[values=margins]")
    np.testing.assert_array_equal(game.margins.to_dense(), values)
    values[3, 1090], values[1091, 4] = np.nan, 0.7
    np.save(path, values)
    with pytest.raises(
        NashGamesError, match=r"the value of action 1091 against action 4 is 0\.7, outside \[-0\.5, 0\.5\]"
    ):
        load(path + "[values=margins,missing=half]")
    with pytest.raises(NashGamesError, match=r"action 3 against action 1090 is nan; accepted: finite numbers, or NaN"):
        load(path + "[values=margins]")
    values[1090, 3], values[1091, 4] = np.nan, -values[4, 1091]
    np.save(path, values)
    (note,) = load(path + "[values=margins,missing=half]").description.notes
    assert note == "1 of 604,450 pairs had no value and were set to ½, action 3 against action 1090 first"
    values[3, 1090], values[1090, 3], values[1091, 4] = 0.1, -0.1, 0.25 - values[4, 1091]
    np.save(path, values)
    with pytest.raises(NashGamesError, match=r"off by 0\.25 for action 4 against action 1091, the worst of 1 among"):
        load(path + "[values=margins,missing=half]")


def test_a_draw_is_half_a_win_for_each_side(write: Write) -> None:
    game = load(write("game.csv", "winner,loser,Draws,count\na,b,4,1\nb,a,0,3\nb,c,1,0\nc,b,1,2\na,c,0,1\n"))
    # a against b: 1 + 4/2 wins of 1 + 3 + 4; b against c: 2/2 of 2 + 2; a against c: 1 of 1.
    np.testing.assert_array_equal(game.margins.to_dense()[[0, 1, 0], [1, 2, 2]], np.array([3 / 8, 1 / 4, 1]) - 0.5)
    assert game.description.notes == (
        "6 draws were counted as half a win for each side", "every pair met 1 to 8 times"
    )  # fmt: skip
    wins, _ = tables.wins(write("wins.csv", "winner,loser,count,draws\na,b,1,4\nb,a,3,0\n"))
    np.testing.assert_array_equal(wins, [[0, 3], [5, 0]])


def test_a_description_says_what_was_loaded(write: Write) -> None:
    path = write("game.csv", "when,Winner,loser\nnoon,a,b\nlater,b,a\nlate,a,b\nlast,a,b\n")
    game = load(f"{path}[missing=half,prior=2]")
    assert game.description.name == path
    assert game.description.parameters == {"missing": "half", "prior": 2.0}
    assert game.description.labels == ("a", "b")
    assert "columns that were not used: when" in game.description.notes
    np.testing.assert_allclose(game.margins.to_dense()[0, 1], 5 / 8 - 0.5, rtol=1e-15)
    known = load(write("known.csv", "0.5,1\n0,0.5\n")).description.fingerprint
    assert known == "dcb5ec0727e7b256"
    assert load(Path(path)).description.fingerprint == game.description.fingerprint != known


JUNK = {
    "nothing.csv": (b"", "is empty (0 bytes)"),
    "blank.csv": (b"\n\r\n\n", "is empty (blank lines only)"),
    "header.csv": (b"winner,loser\n", "is empty (a header and no rows)"),
    "labels.csv": (b"a,b,c", "is empty (a header and no rows)"),
    "one.csv": (b"0.5\n", "holds fewer than two actions"),
    "rectangle.csv": (b"0.5,0.2,0.3\n0.8,0.5,0.1\n", "2 rows and 3 columns; a matrix needs as many rows as columns"),
    "tall.csv": (b"0.5,0.2\n0.8,0.5\n0.3,0.4\n", "3 rows and 2 columns; a matrix needs as many rows as columns"),
    "ragged.csv": (b"0.5,0.2\n0.8\n", "row 2 has 1 cell, the first row has 2"),
    "word.csv": (b"a,b\n0.5,0.2\n0.8,half\n", "row 3, column 'b' holds 'half', which is not a number"),
    "first.csv": (b"0.5,0.2\nx.8,0.5\n", "row 2, column 1 holds 'x.8', which is not a number"),
    "percent.csv": (b"0.5,0.2\n0.8,20%\n", "row 2, column 2 holds '20%'"),
    "nan.csv": (b"0.5,nan\n0.5,0.5\n", "row 1, column 2 holds 'nan', which is not a number"),
    "nan-first.csv": (b"nan,0.2\n0.8,0.5\n", "row 1, column 1 holds 'nan', which is not a number"),
    "nan-labelled.csv": (b",a,b\na,0.5,NaN\nb,0.5,0.5\n", "row 2, column 'b' holds 'NaN', which is not a number"),
    "dash.csv": (b"0.5,0.7,-\n0.3,0.5,0.6\n-,0.4,0.5\n", "row 1, column 3 holds '-', which is not a number"),
    "complex.csv": (b"0.5,0.7j\n0.3,0.5\n", "row 1, column 2 holds '0.7j', which is not a number"),
    "n-a.csv": (b",a,b\na,0.5,n/a\nb,n/a,0.5\n", "row 2, column 'b' holds 'n/a', which is not a number"),
    "decimal-comma.csv": (b'"0,5","0,7"\n"0,3","0,5"\n', "column 1 holds '0,3', a number with a comma; write 0.3"),
    "unclosed.csv": (b'0.5,0.7,0.2\n"a,b,3\n0.8,0.4,0.5\n', "a quotation mark in row 2 is never closed"),
    "comment.csv": (b"# my bots\n0.5,0.7\n0.3,0.5\n", "begins with the comment '# my bots'; delete comment lines"),
    "latin.csv": (
        "é,b\n0.5,0.2\n0.8,0.5\n".encode("latin-1"),
        "is not UTF-8 text (byte 0xe9); save it as CSV in UTF-8",
    ),
    "later.csv": (b"a,b\n0.5,0.2\n0.8,\xff\n", "is not UTF-8 text (byte 0xff)"),
    "wide.csv": ("a,b\n0.5,0.2\n0.8,0.5\n".encode("utf-16"), "is not UTF-8 text (byte 0xff)"),
    "zeros.csv": (b"a,b\n\0\0\0", "is not text (it holds zero bytes)"),
    "semicolons.csv": (b"a;b\n0.5;0.2\n0.8;0.5\n", "separates its columns by ';'; save it with commas"),
    "twins.csv": (b"a,b,a\n.5,.5,.5\n.5,.5,.5\n.5,.5,.5\n", "has two actions labelled 'a'"),
    "shuffled.csv": (b",a,b\nb,0.5,0.2\na,0.8,0.5\n", "labels row 1 'b' and column 1 'a'"),
    "nameless.csv": (b",a,\na,0.5,0.2\n,0.8,0.5\n", "has no label for action 1"),
    "infinite.csv": (b"0.5,inf\n0,0.5\n", "the value of action 0 against action 1 is inf; accepted: finite numbers"),
    "overflow.csv": (b"0.5,1e999\n0,0.5\n", "is inf; accepted: finite numbers"),
    "outside.csv": (b"a,b\n0.5,1.2\n-0.2,0.5\n", "the value of 'a' against 'b' is 1.2, outside [0, 1]"),
    "below.csv": (b"a,b\n0.5,0.4\n-0.2,0.5\n", "the value of 'b' against 'a' is -0.2, outside [0, 1]"),
    "counts.csv": (b"a,b\n0,7\n3,0\n", "counts.csv[values=wins] for counts of wins, "),
    "diagonal.csv": (b"a,b\n0,0.7\n0.3,0\n", "'a' against itself has the value 0, not 0.5; write 0.5, leave"),
    "self.csv": (b"winner,loser\na,b\nb,b\n", "row 2 below the header, 'b' against 'b', lets an action beat itself"),
    "negative.csv": (b"winner,loser,count\na,b,1\nb,a,-2\n", "row 2 below the header, 'b' against 'a', counts -2 wins"),
    "uncounted.csv": (b"winner,loser,count\na,b,1\nb,a,\n", "has no number of wins; a count is finite and 0 or more"),
    "unnamed.csv": (b"winner,loser\na,b\n,a\n", "row 2 below the header has no winner"),
    "again.csv": (
        b"action,opponent,score\na,b,1\nb,a,0\na,b,1\n",
        "row 3 below the header, 'a' against 'b', lists that",
    ),
    "misspelt.csv": (b"winner,looser\na,b\n", "did you mean 'loser' by 'looser'?"),
    "partial.csv": (b"action,opponent\na,b\n", "has the columns action, opponent; 'score' is missing"),
    "foreign.csv": (
        b"model_a,model_b,result\nx,y,1\n",
        "holds text in its columns model_a, model_b; a matrix holds numbers, a long table has the columns",
    ),
    "doubled.csv": (b"winner,loser,loser\na,b,c\n", "has two columns 'loser'; keep one"),
    "ties.csv": (b"winner,loser,ties\na,b,1\n", "has a column 'ties'; call it draws if it counts the draws of a row"),
    "draws.csv": (b"winner,loser,draws\na,b,1\n", "has a column 'draws' and no column 'count'; add count"),
    "no-draws.csv": (b"winner,loser,count,draws\na,b,1,\n", "has no number of draws; a count is finite and 0 or more"),
    "less-draws.csv": (b"winner,loser,count,draws\na,b,1,-1\n", "counts -1 draws"),
    "unmet.csv": (b"winner,loser\na,b\na,c\n", "'b' against 'c' has no value in either order (1 of 3 pairs"),
    "junk.parquet": (b"PAR1 this is not a table PAR1", "cannot be read as Parquet"),
    "short.parquet": (b"PAR1", "cannot be read as Parquet"),
    "junk.npy": (b"these are not numbers", "is not an NPY file (no readable header)"),
    "pickle.npy": (pickle.dumps({"a": 1}), "is not an NPY file (no readable header)"),
    "broken.npy": (b"\x93NUMPY\x01\x00\x20\x00" + b"{'descr': (}".ljust(32), "is not an NPY file (no readable header)"),
    "zip.npy": (b"PK\x03\x04", "is not an NPY file (no readable header)"),
    "table.xlsx": (b"PK\x03\x04", "ends in '.xlsx'; accepted: .csv, .parquet, .npy"),
    "table": (b"0.5,0.5\n", "has no ending; accepted: .csv, .parquet, .npy"),
}


@pytest.mark.parametrize("name", JUNK)
def test_every_broken_file_has_its_sentence(name: str, write: Write) -> None:
    content, expected = JUNK[name]
    path = write(name, content)
    with pytest.raises(NashGamesError) as caught:
        load(path)
    assert expected in str(caught.value)
    assert f"'{path}'" in str(caught.value)
    assert "\n" not in str(caught.value)


class Executed:
    """Unpickling this fails a test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (np.array([[Executed(), 1], [1, 1]], object), "holds pickled Python objects, which are never loaded"),
        (P.astype(complex), "holds an array of complex128; accepted: real numbers"),
        (P.astype(str), "accepted: real numbers"),
        (np.zeros((0, 0)), r"is empty \(its array has shape \(0, 0\)\)"),
        (P[:2], "holds 2 rows and 3 columns"),
        (P[None], "holds an array of 3 dimensions"),
        (P[0], "holds an array of 1 dimension"),
        (np.full((2, 2), np.inf), "action 0 against action 0 is inf"),
        (P[:1, :1], "holds fewer than two actions"),
    ],
)
def test_arrays_that_are_no_game(content: np.ndarray, expected: str, write: Write) -> None:
    with pytest.raises(NashGamesError, match=expected):
        load(write("game.npy", content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            frame().assign(rock=["a", "b", "c"]),
            "holds text in its columns rock, __index_level_0__; a matrix holds numbers",
        ),
        (frame().assign(rock=pd.Timestamp(0)), "column 'rock' holds timestamp.*; accepted: numbers"),
        (pd.DataFrame({"winner": [0.5], "loser": [1.0]}), "column 'winner' holds double; accepted: text or integers"),
        (pd.DataFrame({"winner": [None, "a"], "loser": ["b", "c"]}), "row 1 below the header has no winner"),
        (frame().iloc[:0], r"is empty \(0 rows\)"),
        (frame().iloc[:2], "holds 2 rows and 3 columns"),
    ],
)
def test_parquet_files_that_are_no_game(content: pd.DataFrame, expected: str, write: Write) -> None:
    with pytest.raises(NashGamesError, match=expected):
        load(write("game.parquet", content))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("symmetrize=true", "table .* has no parameter .* did you mean 'symmetrise'"),
        ("symmetrise=yes", "accepted: true, false"),
        ("values=win", "values is 'win'; did you mean 'wins'"),
        ("values=scores", "values=scores needs scale"),
        ("values=margins,scale=2", "values=margins leaves scale without a meaning"),
        ("scale=-1", "scale is -1; accepted"),
        ("scale=nan", "scale is nan; accepted"),
        ("scale=0.25", r"is -?0.\d+, outside \[-0.25, 0.25\]; scale is the score of a certain win"),
        ("prior=-1", "prior is -1; accepted"),
        ("prior=1e300", r"prior is 1e\+300; accepted: a number of wins from 0 to 1,000,000"),
        ("prior=1", "holds probabilities and prior counts wins"),
        ("values=margins,prior=1", "prior counts wins and the values are margins"),
        ("missing=zero", "missing is 'zero'"),
        ("wins", "cannot read 'wins'; write parameter=value"),
    ],
)
def test_a_mistake_in_every_option(options: str, expected: str, write: Write) -> None:
    with pytest.raises(NashGamesError, match=expected):
        load(f"{write('game.csv', frame())}[{options}]")


@pytest.mark.parametrize("options", ["values=probabilities", "scale=1"])
def test_wins_mean_nothing_else(options: str, write: Write) -> None:
    with pytest.raises(NashGamesError, match=f"lists winners and losers, which are wins; leave out {options[:5]}"):
        load(f"{write('game.csv', duels())}[{options}]")


def test_paths_that_lead_nowhere(write: Write, tmp_path: Path) -> None:
    write("wins.csv", duels())
    with pytest.raises(NashGamesError, match=r"there is no file .*winz\.csv'; did you mean 'wins\.csv'\? Tables are"):
        load(str(tmp_path / "winz.csv"))
    with pytest.raises(NashGamesError, match=r"there is no file .*mu\.csv' in the folder"):
        load(str(tmp_path / "mu.csv"))
    with pytest.raises(NashGamesError, match=r"there is no file .* in the folder '.*'; tables are read from"):
        load(str(tmp_path / "quite different.npy"))
    with pytest.raises(NashGamesError, match=r"there is no file .*, nor a folder '.*absent'"):
        load(str(tmp_path / "absent" / "wins.csv"))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "manifest.json").touch()
    with pytest.raises(NashGamesError, match="is a results directory; draw it with nashgames plot, or read it with ng"):
        load(str(tmp_path / "results"))
    with pytest.raises(NashGamesError, match=r"is a folder; name a file in it that ends in one of: \.csv"):
        load(str(tmp_path))
    with pytest.raises(NashGamesError, match="unknown table 'castle'; did you mean 'castles'"):
        load("castle")
    with pytest.raises(NashGamesError, match="cannot be read: File name too long"):
        load("x" * 5000 + ".csv")


def test_which_names_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "wins.csv",
        "WINS.CSV",
        "a/b",
        "wins.csv[symmetrise=true]",
        "x.npy",
        "x.parquet[scale=2]",
        "./castles",
    ):
        assert is_path(name), name
    for name in ("castles", "castles[round=1]", "disc[strength=2]", "wins", "average[nash-mp]", "x" * 5000):
        assert not is_path(name), name
    Path("wins").write_text("a file")
    Path("castles").write_text("a file")
    assert is_path("wins")
    assert not is_path("castles")
    Path("odd[1].csv").write_text(CSV["header"])
    assert path_selection("odd[1].csv").name == "odd[1].csv"
    np.testing.assert_array_equal(load("odd[1].csv[symmetrise=true]").margins.to_dense(), MARGINS)


def test_what_will_not_fit_is_refused_before_it_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(size: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": size}))

    paths = [write("m.csv", frame()), write("m.parquet", frame()), write("m.npy", P), write("w.csv", duels())]
    free(40)
    for path in paths:
        with pytest.raises(NashGamesError, match=r"needs [\d.]+ (bytes|KB) of memory and 40 bytes is free"):
            load(path)
    with pytest.raises(NashGamesError, match=r"castles with 3,996 actions needs 128 MB of memory"):
        load("castles")
    free(2_000_000)
    many = "winner,loser\n" + "\n".join(f"a{i},a{i + 1}" for i in range(1000))
    with pytest.raises(NashGamesError, match=r"with 1,001 actions needs 16 MB of memory and 2 MB is free"):
        load(write("many.csv", many))
    column = pa.array(np.zeros(1_000_000)).dictionary_encode()
    pa.parquet.write_table(pa.table({"a": column, "b": column}), write("flat.parquet", "x"))
    with pytest.raises(NashGamesError, match=r"\(1,000,000 rows of 2 columns\) needs 32.* MB of memory"):
        load(paths[0].replace("m.csv", "flat.parquet"))


def test_a_header_that_promises_too_much(write: Write, tmp_path: Path) -> None:
    for shape in [(100_000, 100_000), (10**30, 10**30), (-1, -1), (3, 3)]:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
        with pytest.raises(NashGamesError, match="has only 64 bytes of data; it was cut short"):
            load(write("game.npy", buffer.getvalue() + bytes(64)))
    (tmp_path / "line.csv").write_bytes(b"0.5," * (1 << 22))
    with pytest.raises(NashGamesError, match=r"has a line of more than 16\.8 MB; it is not a table"):
        load(str(tmp_path / "line.csv"))


probabilities = st.integers(2, 7).flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1, allow_subnormal=False))
)


@settings(deadline=None, max_examples=40)
@given(probabilities, st.sampled_from(["csv", "labelled csv", "parquet", "npy", "long csv"]))
def test_any_game_survives_any_format_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, drawn: np.ndarray, form: str
) -> None:
    n = len(drawn)
    values = np.triu(drawn, 1)
    values = values + np.tril(1 - values.T, -1) + 0.5 * np.eye(n)
    labels = tuple(f"action {i}" for i in range(n))
    table = frame(values, labels)
    path = tmp_path_factory.mktemp("game") / f"game.{form.split()[-1]}"
    if form == "long csv":
        rows = [(labels[i], labels[j], values[i, j]) for i in range(n) for j in range(n)]
        pd.DataFrame(rows, columns=["action", "opponent", "score"]).to_csv(path, index=False)
    elif path.suffix == ".csv":
        table.to_csv(path, header=form != "csv", index=form != "csv")
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        np.save(path, values)
    game = load(str(path))
    margins = game.margins.to_dense()
    np.testing.assert_array_equal(margins, np.triu(values - values.T, 1) / 2 - np.triu(values - values.T, 1).T / 2)
    np.testing.assert_array_equal(margins, -margins.T)
    assert game.description.labels == (None if form in ("csv", "npy") else labels)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | st.text(alphabet='0.5,1\n"-ainfx;\r\t winerlos', max_size=60).map(str.encode))
def test_no_bytes_make_anything_but_a_game_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("junk.csv", "junk.parquet", "junk.npy"):
        (folder / name).write_bytes(content)
        try:
            margins = load(str(folder / name)).margins.to_dense()
        except NashGamesError as error:
            assert name in str(error)
        else:
            np.testing.assert_array_equal(margins, -margins.T)
            assert np.abs(margins).max() <= 0.5


POLICY = np.array([0.5, 0.125, 0.375])


@pytest.fixture
def game(write: Write) -> Any:
    return load(write("game.csv", CSV["header"]))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_references_are_matched_by_label_by_action_or_by_order(suffix: str, game: Any, write: Write) -> None:
    table = pd.DataFrame({"label": LABELS, "action": range(3), "probability": POLICY})
    shuffled = table.iloc[[2, 0, 1]]
    for content in (shuffled, shuffled.drop(columns="action"), shuffled.drop(columns="label")):
        log_reference = read_reference(write("reference" + suffix, content, index=False), game)
        assert log_reference.dtype == np.float64
        np.testing.assert_allclose(np.exp(log_reference), POLICY, rtol=1e-15)
    unlabelled = game.replace(description=load(write("bare.npy", P)).description)
    by_number = shuffled.assign(label=shuffled["action"].astype(str)).drop(columns="action")
    for content in (by_number, table[["probability"]]):
        log_reference = read_reference(write("reference" + suffix, content, index=False), unlabelled)
        np.testing.assert_allclose(np.exp(log_reference), POLICY, rtol=1e-15)


def test_the_order_of_a_reference_says_nothing_of_actions_with_labels(game: Any, write: Write) -> None:
    path = write("reference.csv", "probability\n0.5\n0.125\n0.375\n")
    with pytest.raises(NashGamesError, match=r"whose its probabilities are; add a column label, with rock, paper, sci"):
        read_reference(path, game)


def test_a_reference_in_order_has_a_row_for_every_action(write: Write) -> None:
    with pytest.raises(NashGamesError, match="has 2 rows; the game has 3 actions"):
        read_reference(write("reference.csv", "probability\n0.5\n0.5\n"), load(write("bare.npy", P)))


def test_a_reference_is_normalised_and_serves_every_context(write: Write) -> None:
    game = make_game(np.stack([MARGINS, -MARGINS]))
    path = write("reference.csv", "probability\n0.5\n0.125\n0.3750005\n")
    log_reference = read_reference(Path(path), game)
    assert log_reference.shape == (2, 3)
    np.testing.assert_allclose(np.exp(log_reference).sum(1), 1, rtol=1e-15)
    np.testing.assert_allclose(np.exp(log_reference[1]), np.array([0.5, 0.125, 0.3750005]) / 1.0000005, rtol=1e-15)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("probabilty\n0.5\n0.25\n0.25\n", "has the columns probabilty; did you mean 'probability' by 'probabilty'?"),
        ("0.5\n0.25\n0.25\n", "has the columns 0.5; accepted: the column probability, and label"),
        ("probability\n", "is empty (a header and no rows)"),
        ("action,probability\n0,0.5\n1,0.5\n", "has no row for the action '2' (1 of 3 are missing)"),
        (
            "action,probability\n0,0.5\n1,0.5\n2,0\n",
            "gives 'scissors' the probability 0; every action needs a finite reference",
        ),
        ("action,probability\n0,0.5\n1,1\n2,-0.5\n", "gives 'scissors' the probability -0.5"),
        ("action,probability\n0,inf\n1,1\n2,0.5\n", "gives 'rock' the probability inf"),
        ("label,probability\nrock,.5\npaper,\nscissors,.5\n", "gives 'paper' the probability nan"),
        ("action,probability\n0,0.5\n1,0.2\n2,0.2\n", "sum to 0.9; they must sum to 1 within 1e-6"),
        ("probability\n0.5\nx\n0.2\n", "row 3, column 'probability' holds 'x', which is not a number"),
        (
            "label,probability\nrock,.5\npapper,.2\nscissors,.3\n",
            "names the label 'papper', which the game does not have; ",
        ),
        ("label,probability\nrock,.5\nrock,.2\nscissors,.3\n", "gives the label 'rock' twice"),
        ("label,probability\nrock,.5\nscissors,.5\n", "has no row for the label 'paper' (1 of 3 are missing)"),
        ("action,probability\n0,.5\n1,.25\n3,.25\n", "names the action '3', which the game does not have"),
        ("probability,probability\n.5,.5\n.2,.2\n.3,.3\n", "has two columns 'probability'"),
    ],
)
def test_a_mistake_in_every_reference(content: str, expected: str, game: Any, write: Write) -> None:
    with pytest.raises(NashGamesError) as caught:
        read_reference(write("reference.csv", content), game)
    assert expected in str(caught.value)


def test_a_reference_is_no_array(game: Any, write: Write) -> None:
    with pytest.raises(NashGamesError, match=r"ends in '\.npy'; accepted: \.csv, \.parquet"):
        read_reference(write("reference.npy", POLICY), game)
