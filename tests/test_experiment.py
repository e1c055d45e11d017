"""Experiments: what is accepted, what each mistake is told, and that nothing is lost on the way to TOML and back."""

import dataclasses
import math
import os
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core import game
from nashgames.defaults import PARTS
from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import (
    MAX_RUNS,
    Cell,
    Experiment,
    content_hash,
    load_preset,
    presets,
    summary,
)
from nashgames.experiments.values import DEVICES, DTYPES

PRESETS = [
    "action-size",
    "comal",
    "contest",
    "cure",
    "default",
    "egpo",
    "function-approximation",
    "high-probability",
    "instability",
    "language",
    "mmd",
    "omwu",
    "phases",
    "race",
    "rate",
    "real",
    "theorems",
]

TOLERANCES = "a number of at least 0 (0: never stop) and below 0.5, the largest suboptimality of a reference"
BETAS = "0, or a number from 1e-12 to 1,000,000"
TUNES = "auto, parameter=low:high:count or solver.parameter=low:high:count (e.g. step=1e-3:10:8), trials=N, seeds=N"

_plain = st.from_regex(r"[a-z][a-z0-9-]{0,8}(\[[a-z]{1,4}=[0-9.e-]{1,6}(,other=x\[y=1\])?\])?", fullmatch=True)
_paths = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20).map(lambda text: f"./{text}x")
_selections = st.lists(_plain | _paths, min_size=1, max_size=3).map(tuple)
_positive = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)
_betas = st.just(0.0) | st.floats(1e-12, 1e6)
_counts = st.integers(1, 10**15)


_tunes = st.fixed_dictionaries(
    {},
    optional={
        "seeds": st.integers(1, 20),
        **{name: st.just("1e-3:10:8") for name in ("step", "nash-prox.step", "a/b.py:Mine.eta", 'odd "name"')},
    },
)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    values = {
        "name": draw(st.none() | st.from_regex(r"\w([\w .+-]{0,20}\w)?", fullmatch=True)),
        "game": draw(_selections),
        "solver": draw(_selections),
        "beta": tuple(draw(st.lists(_betas, min_size=1, max_size=3))),
        "actions": tuple(draw(st.lists(st.integers(2, 10**15), max_size=3))),
        "reference": draw(_selections),
        "seed": draw(st.integers(0, 2**31)),
        "seeds": draw(st.integers(1, 100)),
        "queries": draw(_counts),
        "tolerance": draw(st.floats(0, 0.49)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "device": draw(st.sampled_from(DEVICES)),
        "tune": draw(st.none() | st.just("auto") | _tunes),
    }
    return Experiment(
        **values, **draw(st.sampled_from([{}, {"records": draw(_counts)}, {"record_every": draw(_counts)}]))
    )


@given(experiments())
@settings(deadline=None, max_examples=75)
def test_a_dict_and_a_toml_file_give_the_same_experiment_back(tmp_path_factory, experiment):
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    path = tmp_path_factory.getbasetemp() / "experiment.toml"
    path.write_text(experiment.to_toml(), encoding="utf-8")
    assert Experiment.from_toml(path) == experiment
    assert content_hash(Experiment.from_toml(path).to_dict()) == content_hash(experiment.to_dict())


def test_the_example_of_a_researcher_is_read(tmp_path):
    path = tmp_path / "action-size.toml"
    path.write_text(
        'name = "action-size"\ngame = ["random-logits", "disc[strength=2]", "castles"]\nactions = [10, 100, 1000]\n'
        'beta = [1.0, 0.1, 0.01]\nsolver = "nash-prox[eta=0.05,inner=40]"\nseeds = 20\nqueries = 2e4\n'
        "tolerance = 1e-10\nrecord-every = 5\n"
    )
    experiment = Experiment.from_toml(path)
    assert experiment.game == ("random-logits", "disc[strength=2]", "castles")
    assert experiment.actions == (10, 100, 1000)
    assert experiment.solver == ("nash-prox[eta=0.05,inner=40]",)
    assert experiment.queries == 20000
    assert isinstance(experiment.queries, int)
    assert experiment.record_every == 5
    assert experiment.reference == ("own",)
    assert "records" not in experiment.to_dict()


def test_one_value_text_numpy_numbers_and_none_are_read():
    experiment = Experiment.from_dict(
        {"name": None, "game": "disc", "beta": np.float64(0.1), "actions": np.int64(7), "queries": "1e4"}
    )
    assert experiment == Experiment(game=("disc",), beta=(0.1,), actions=(7,), queries=10_000)
    assert Experiment.from_dict({"beta": ["1", "0.1"], "seeds": "3"}) == Experiment(beta=(1.0, 0.1), seeds=3)
    assert Experiment(beta=np.array([1.0, 0.5])).beta == (1.0, 0.5)
    assert math.copysign(1, Experiment(tolerance=-0.0).tolerance) == 1


def test_a_table_of_ranges_is_the_list_of_them_and_says_what_is_usual(tmp_path):
    path = tmp_path / "tuned.toml"
    path.write_text('[tune]\nseeds = 3\nstep = "1e-3:10:5"\nnash-prox.step = "1:1e3:5"\n')
    listed = Experiment(tune=["step=1e-3:10:5", "nash-prox.step=1:1e3:5,seeds=3"])
    assert Experiment.from_toml(path) == listed
    assert listed.tune == {"trials": 5, "seeds": 3, "step": "1e-3:10:5", "nash-prox.step": "1:1e3:5"}
    assert Experiment(tune="auto").tune == Experiment(tune={}).tune == {"trials": 8}
    assert Experiment.from_dict({"tune": None}).tune is None
    assert "tune" not in Experiment().to_dict()


def test_without_options_beta_is_the_library_s():
    assert Experiment().beta == (game.DEFAULT_BETA,)


def test_it_is_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Experiment().seed = 1
    assert hash(Experiment(beta=[0.1])) == hash(Experiment(beta=(0.1,)))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"beta": -1}, f"beta is -1; accepted: {BETAS}"),
        ({"beta": [0.1, 1e155]}, f"beta is 1e+155; accepted: {BETAS}"),
        ({"beta": math.nan}, f"beta is nan; accepted: {BETAS}"),
        ({"beta": "inf"}, f"beta is 'inf'; accepted: {BETAS}"),
        ({"beta": True}, f"beta is true; accepted: {BETAS}"),
        ({"beta": np.bool_(True)}, f"beta is np.True_; accepted: {BETAS}"),
        ({"beta": "small"}, f"beta is 'small'; accepted: {BETAS}"),
        ({"beta": 10**400}, f"beta is 1{'0' * 76}…; accepted: {BETAS}"),
        ({"beta": []}, "beta is an empty list; accepted: one value or a list with at least one"),
        ({"beta": [[0.1]]}, f"beta is [0.1]; accepted: {BETAS}"),
        ({"beta": {0.1, 0.2}}, "beta is {0.1, 0.2}; accepted: one value or a list of values"),
        ({"actions": 1}, "actions is 1; accepted: an integer of at least 2"),
        ({"actions": [10, 2.5]}, "actions is 2.5; accepted: an integer of at least 2"),
        ({"actions": False}, "actions is false; accepted: an integer of at least 2"),
        ({"seed": -1}, "seed is -1; accepted: an integer of at least 0"),
        ({"seed": 2**32}, "seed is 4294967296; accepted: an integer of at least 0 and at most 4,294,967,295"),
        ({"seed": [1, 2]}, "seed is [1, 2]; accepted: an integer of at least 0"),
        ({"seeds": 0}, "seeds is 0; accepted: an integer of at least 1"),
        ({"queries": 0}, "queries is 0; accepted: an integer of at least 1"),
        ({"queries": "1e400"}, "queries is '1e400'; accepted: an integer of at least 1"),
        ({"queries": 1e16}, "queries is 1e+16; accepted: an integer of at least 1 and at most 1,000,000,000,000,000"),
        ({"queries": 0.5}, "queries is 0.5; accepted: an integer of at least 1"),
        ({"tolerance": -1e-9}, f"tolerance is -1e-09; accepted: {TOLERANCES}"),
        ({"tolerance": True}, f"tolerance is true; accepted: {TOLERANCES}"),
        ({"records": 0}, "records is 0; accepted: an integer of at least 1"),
        ({"record_every": 0}, "record_every is 0; accepted: an integer of at least 1"),
        ({"dtype": "float16"}, "dtype is 'float16'; did you mean 'float64'? Accepted: float32, float64"),
        ({"dtype": 64}, "dtype is 64; accepted: float32, float64"),
        ({"device": "tpu"}, "device is 'tpu'; did you mean 'gpu'? Accepted: cpu, gpu"),
        ({"game": ""}, "game is ''; accepted: a name such as name[parameter=value], or a list of names"),
        ({"game": 3}, "game is 3; accepted: a name such as name[parameter=value], or a list of names"),
        ({"game": ()}, "game is an empty list; accepted: one value or a list with at least one"),
        ({"game": "disc\n"}, "game is 'disc\\n'; accepted: text without control characters"),
        (
            {"solver": "nash-mp,online-ipo"},
            "solver is 'nash-mp,online-ipo'; accepted: one name; write several as a list",
        ),
        ({"solver": "a[x=1],b"}, "solver is 'a[x=1],b'; accepted: one name; write several as a list"),
        ({"solver": "nash-mp[eta=1"}, "solver: 'nash-mp[eta=1' has unbalanced brackets; write name[parameter=value,…]"),
        ({"reference": "tilted[s=2]x"}, "reference: 'tilted[s=2]x' does not end in ']'; write name[parameter=value,…]"),
        *(
            ({"tune": given}, f"tune is {shown}; accepted: {TUNES}")
            for given, shown in (("steep", "'steep'"), ("", "''"), ("=1:2:3", "'=1:2:3'"), (3, "3"), ([3], "3"))
        ),
        (
            {"tune": "step=0:10:8"},
            "'0:10:8' in 'step=0:10:8' is not a range; accepted: low:high:count with numbers above 0, the "
            "smaller first, and a count from 2 to 1000, e.g. 0.1:10:21",
        ),
        ({"tune": {"step": 3}}, "tune has step = 3; accepted: a range low:high:count, e.g. '1e-3:10:8'"),
        ({"tune": "trials=0"}, "tune has trials = 0; accepted: an integer from 1 to 1,000"),
        ({"tune": {"seeds": 1.5}}, "tune has seeds = 1.5; accepted: an integer from 1 to 1,000"),
        ({"tune": "seeds=many"}, "tune has seeds = many; accepted: an integer from 1 to 1,000"),
        ({"tune": "step=1:2:3,step=1:4:3"}, "tune gives 'step' twice; give it once"),
        (
            {"tune": ["step=1:2:3", "eta=1:2:4"]},
            "tune has grids of different lengths (step has 3, eta has 4); give every solver the same number of trials",
        ),
        (
            {"tune": "step=1:2:3,trials=8"},
            "tune has grids of different lengths (step has 3, trials has 8); give every solver the same number of "
            "trials",
        ),
        (
            {"seed": 2**32 - 2, "seeds": 2, "tune": "seeds=3"},
            "seed 4294967294 with seeds 2 and 3 more to tune on ends above 4,294,967,295, the largest seed; give "
            "smaller ones",
        ),
        (
            {"seeds": 60_000, "tune": {"seeds": 600, "trials": 399}},
            "the experiment has 1,800,000 runs; accepted: at most 1,000,000; split it or give fewer seeds",
        ),
        (
            {"seeds": 10**7},
            "the experiment has 50,000,000 runs; accepted: at most 1,000,000; split it or give fewer seeds",
        ),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(values, sentence):
    for make in (Experiment.from_dict, lambda values: Experiment(**values)):
        with pytest.raises(NashGamesError) as caught:
            make(values)
        assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "two\nlines", "x" * 101, "end.", 3])
def test_a_name_must_serve_as_a_folder(name):
    with pytest.raises(NashGamesError, match=r"^name is .*; accepted: up to 100 letters, digits"):
        Experiment(name=name)


def test_the_last_seed_stays_in_range():
    assert Experiment(seed=2**32 - 2, seeds=2).cells()[-1].seed == 2**32 - 1
    with pytest.raises(NashGamesError, match="seed 4294967294 with seeds 3 ends above 4,294,967,295"):
        Experiment(seed=2**32 - 2, seeds=3)


def test_the_largest_experiment_is_accepted():
    assert Experiment(solver=("nash-mp",), seeds=MAX_RUNS).seeds == MAX_RUNS


def test_records_and_record_every_exclude_each_other():
    message = "records and record_every are both given; give one of them"
    for values in ({"records": 200, "record_every": 10}, {"records": 50, "record-every": 10}):
        with pytest.raises(NashGamesError) as caught:
            Experiment.from_dict(values)
        assert str(caught.value) == message
    with pytest.raises(NashGamesError, match=message):
        Experiment(records=50, record_every=10)
    assert Experiment.from_dict({"records": None, "record_every": 10}).record_every == 10


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(
        NashGamesError, match="unknown experiment key 'betas'; did you mean 'beta'\\? Accepted: name, game"
    ):
        Experiment.from_dict({"betas": 1})
    with pytest.raises(NashGamesError, match="unknown experiment key '7'"):
        Experiment.from_dict({7: 1})
    with pytest.raises(NashGamesError, match="'record_every' is given twice; give it once"):
        Experiment.from_dict({"record_every": 1, "record-every": 1})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"seed = 1\nbeta = [0.1\ngame =", "is not valid TOML: line 3: "),
        (b'seed = 1\nname = "x', "is not valid TOML: line 2: "),
        (b"seed 1", "is not valid TOML: line 1: Expected '=' after a key"),
        (b"seed = 1\nseed = 2\n", "is not valid TOML: line 2: "),
        (b"\xff\xfe", "is not UTF-8 text; give a TOML file"),
        (b"sede = 1", "unknown experiment key 'sede'; did you mean 'seed'?"),
        (b"", "it sets no key; give some of: name, game, solver, feedback, …, e.g. game = "),
        (b"[experiment]\nbeta = 0.1", "it has a table [experiment]; write its keys without that heading"),
        (b"seed = " + b"1" * 5000, "has an integer of thousands of digits; give a smaller one"),
        (b"game = " + b"[" * 3000 + b"]" * 3000, "nests lists too deeply; give a value or a list of values a key"),
        (b"#" * 1_000_001, "has more than 1,000,000 bytes; give a smaller TOML file"),
        (b"tolerance = 0.5", f"tolerance is 0.5; accepted: {TOLERANCES}"),
        (b"beta = true", f"beta is true; accepted: {BETAS}"),
        (b"beta = 2020-01-01", f"beta is 2020-01-01; accepted: {BETAS}"),
        (b"[game]\nname = 'disc'", "game is {'name': 'disc'}; accepted: one value or a list of values"),
    ],
)
def test_a_wrong_toml_file_is_told_with_its_name(tmp_path, monkeypatch, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figure.toml").write_bytes(text)
    with pytest.raises(NashGamesError) as caught:
        Experiment.from_toml("figure.toml")
    assert str(caught.value).removeprefix("the experiment ").startswith("'figure.toml'")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_file_without_an_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("fifo.toml", "zero.toml"):
        with pytest.raises(NashGamesError, match=f"{name}' is not a regular file; give a TOML file"):
            Experiment.from_toml(tmp_path / name)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(
        NashGamesError, match=r"cannot read the experiment '.*none.toml': no such file or directory; give"
    ):
        Experiment.from_toml(tmp_path / "none.toml")
    with pytest.raises(NashGamesError, match="is a directory; give a TOML file"):
        Experiment.from_toml(tmp_path)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 3\r\nbeta = 0.5\r\n")
    assert Experiment.from_toml(path) == Experiment(seed=3, beta=(0.5,))


def test_cells_are_the_product_in_order_without_repetition():
    experiment = Experiment(game=("a", "b"), solver=("s", "t", "s"), beta=(1, 1.0), actions=(2, 3), seed=5, seeds=2)
    cells = experiment.cells()
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert cells[:3] == [
        Cell("a", 2, 5, "own", 1.0, "s", *PARTS.values()),
        Cell("a", 2, 5, "own", 1.0, "t", *PARTS.values()),
        Cell("a", 2, 6, "own", 1.0, "s", *PARTS.values()),
    ]
    assert cells[-1] == Cell("b", 3, 6, "own", 1.0, "t", *PARTS.values())
    assert experiment.cells() == cells
    assert Experiment(game="castles", solver="s").cells() == [
        Cell("castles", None, 0, "own", 0.05, "s", *PARTS.values())
    ]


def test_the_content_hash_sees_values_not_order():
    assert content_hash({"b": 1, "a": [0.1]}) == content_hash({"a": (np.float64(0.1),), "b": np.int64(1)})
    assert content_hash({"a": {"b": 1}}) == content_hash(MappingProxyType({"a": MappingProxyType({"b": 1})}))
    # The SHA-256 of {"beta":0.1,"n":3}: it must never change, directories on disk depend on it.
    assert content_hash({"n": 3, "beta": 0.1}) == "003d2136a1e3"
    different = [{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {"a": None}, {"a": math.nextafter(1, 2)}, {"b": 1}]
    assert len({content_hash(mapping) for mapping in different}) == len(different)
    with pytest.raises(TypeError, match="set has no place"):
        content_hash({"a": {1}})
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash({"a": math.nan})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_says_what_it_asks_and_survives_its_own_toml(name):
    experiment = load_preset(name)
    assert experiment.name == name
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    text = presets()[name].read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.splitlines()[0] == f"# {summary(name)}"
    assert summary(name).endswith(("?", "."))


def test_the_presets_are_these_and_a_wrong_name_gets_the_nearest():
    assert list(presets()) == PRESETS
    with pytest.raises(NashGamesError, match="unknown preset 'rates'; did you mean 'rate'\\? Accepted: action-size"):
        load_preset("rates")
    with pytest.raises(NashGamesError, match="unknown preset"):
        summary("../presets/rate")


def test_the_presets_ask_what_they_should():
    default = load_preset("default")
    assert (default.beta, default.actions) == ((1.0, 0.1, 0.01), (10, 100, 1000))
    assert default.solver == Experiment().solver
    assert len(default.cells()) == 45
    sizes = load_preset("action-size")
    assert (min(sizes.actions), max(sizes.actions), len(sizes.beta), sizes.seeds) == (10, 3000, 1, 3)
    rate = load_preset("rate")
    assert (max(rate.beta), min(rate.beta), rate.actions, rate.solver) == (1.0, 1e-3, (100,), ("nash-mp",))
    cure = load_preset("cure")
    assert (cure.beta, cure.reference, cure.queries) == ((0.005,), ("tilted[span=2]",), 60_000)
    assert len(cure.cells()) == 6
    assert load_preset("real").actions == ()


def test_experiment_and_environment_import_nothing_heavy():
    code = (
        "import sys, nashgames.experiments.experiment, nashgames.environment; "
        "print(*sorted({'jax', 'numpy', 'pandas', 'pyarrow', 'matplotlib', 'rich', 'typer'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
