import string
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.errors import NashGamesError, unknown
from nashgames.registry import Parameter, Selection, bind, convert, parameters_of, parse, render, split

NAMES = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12)
KEYS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(string.ascii_letters + string.digits + "./+-_", min_size=1, max_size=10),
)


@given(NAMES, st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_rendered_selection_is_read_back_as_the_same_values(name, parameters):
    text = render(name, parameters)
    found = parse(text)
    accepted = {key: Parameter(key, type(value), value, "") for key, value in parameters.items()}
    values = bind("game", found, accepted)
    assert (found.name, values, found.positional) == (name, parameters, ())
    assert {key: type(value) for key, value in values.items()} == {key: type(v) for key, v in parameters.items()}
    assert render(found.name, values) == text
    assert split(f"{text},{text}") == [text, text]


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
@settings(max_examples=200, deadline=None)
def test_numbers_are_written_in_their_shortest_exact_form(value):
    text = render("x", {"a": value})
    assert float(text.removeprefix("x[a=").removesuffix("]")) == value
    assert len(text) <= len(f"x[a={value!r}]")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "nash-mp"),
        ({"eta": 0.2}, "nash-mp[eta=0.2]"),
        ({"eta": 1.0}, "nash-mp[eta=1]"),
        ({"eta": 1 / 3, "inner": 40}, "nash-mp[eta=0.3333333333333333,inner=40]"),
        ({"eta": np.float64(1 / 3), "inner": np.int64(40)}, "nash-mp[eta=0.3333333333333333,inner=40]"),
        ({"eta": 1e-7, "fast": True, "kind": "win"}, "nash-mp[eta=1e-07,fast=true,kind=win]"),
    ],
)
def test_canonical_texts(parameters, text):
    assert render("nash-mp", parameters) == text


@pytest.mark.parametrize(
    ("text", "name", "parameters", "positional"),
    [
        ("disc", "disc", {}, ()),
        (" disc [ strength = 2 , ]", "disc", {"strength": "2"}, ()),
        ("disc[]", "disc", {}, ()),
        ("disc[path=a=b]", "disc", {"path": "a=b"}, ()),
        ("average[nash-mp]", "average", {}, ("nash-mp",)),
        ("average[nash-mp[eta=0.1,x=2]]", "average", {}, ("nash-mp[eta=0.1,x=2]",)),
        ("average[average[nash-mp[eta=0.1]]]", "average", {}, ("average[nash-mp[eta=0.1]]",)),
        ("best[of=3,nash-mp[eta=1],online-ipo]", "best", {"of": "3"}, ("nash-mp[eta=1]", "online-ipo")),
        ("wrap[solver=nash-mp[eta=1]]", "wrap", {"solver": "nash-mp[eta=1]"}, ()),
    ],
)
def test_parsing(text, name, parameters, positional):
    found = parse(text)
    assert (found.name, found.parameters, found.positional) == (name, parameters, positional)
    assert all(isinstance(part, Selection) for part in found.positional), "parts are parsed with the whole"
    assert found == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("a[x=1,y=2],b", ["a[x=1,y=2]", "b"]),
        ("average[nash-prox[eta=1,inner=2]],b[x=3]", ["average[nash-prox[eta=1,inner=2]]", "b[x=3]"]),
    ],
)
def test_splitting_at_the_commas_outside_brackets(text, parts):
    assert split(text) == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("disc[strength=2", "'disc[strength=2' does not end in ']'; write name[parameter=value,…]"),
        ("disc[strength=2]x", "does not end in ']'"),
        ("a[b[c=1]", "unbalanced brackets"),
        ("a[b]]", "unbalanced brackets"),
        ("disc[strength=2,strength=3]", "gives 'strength' twice; give it once"),
    ],
)
def test_a_broken_selection_is_told_in_a_sentence(text, said):
    with pytest.raises(NashGamesError) as told:
        parse(text)
    assert said in str(told.value)


@pytest.mark.parametrize("text", ["a]", "a[b", "a],b[", "]["])
def test_brackets_that_do_not_match_cannot_be_split(text):
    with pytest.raises(NashGamesError, match="unbalanced brackets"):
        split(text)


def factory(
    actions: int,
    *,
    strength: Annotated[float, "how strong"] = 1.0,
    rounds: Annotated[int, "how many"] = 3,
    pooled: Annotated[bool, "whether pooled"] = False,
    kind: Annotated[str, "which"] = "win",
) -> None: ...


def test_the_parameters_of_a_factory_are_its_documented_arguments_in_order():
    assert list(parameters_of(factory).values()) == [
        Parameter("strength", float, 1.0, "how strong"),
        Parameter("rounds", int, 3, "how many"),
        Parameter("pooled", bool, False, "whether pooled"),
        Parameter("kind", str, "win", "which"),
    ]


def test_values_are_bound_by_type():
    values = bind("game", parse("f[rounds=4,strength=2,pooled=True,kind=draw]"), parameters_of(factory))
    # In the order of the factory, so that one selection has one text.
    assert list(values.items()) == [("strength", 2.0), ("rounds", 4), ("pooled", True), ("kind", "draw")]
    assert [type(value) for value in values.values()] == [float, int, bool, str]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f[strenght=2]", "unknown parameter of game 'f' 'strenght'; did you mean 'strength'? Accepted: strength, rou"),
        ("f[actions=2]", "unknown parameter of game 'f' 'actions'"),
        ("f[strength=big]", "f[strength] is 'big'; accepted: a number"),
        ("f[rounds=2.5]", "f[rounds] is '2.5'; accepted: an integer"),
        ("f[pooled=yes]", "f[pooled] is 'yes'; accepted: true, false"),
        ("f[2]", "game 'f' cannot read '2'; write parameter=value with one of: strength, rounds, pooled, kind"),
        ("f[strength=]", "f[strength] is ''; accepted: a number"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_a_sentence(text, said):
    with pytest.raises(NashGamesError) as told:
        bind("game", parse(text), parameters_of(factory))
    assert said in str(told.value)


def test_conversions():
    assert convert("x", "1e-3", float) == 1e-3
    assert convert("x", "FALSE", bool) is False
    assert convert("x", " 7 ", int) == 7


def test_an_unknown_name_gets_the_nearest_one_and_the_list():
    assert str(unknown("solver", "nash-pm", ["nash-mp", "online-ipo"])) == (
        "unknown solver 'nash-pm'; did you mean 'nash-mp'? Accepted: nash-mp, online-ipo"
    )
    assert str(unknown("solver", "zzz", ["nash-mp"])) == "unknown solver 'zzz'. Accepted: nash-mp"
    assert str(unknown("parameter", "x", [])) == "unknown parameter 'x'. Accepted: none"
    assert isinstance(unknown("a", "b", []), ValueError)
