import string
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.errors import NashGamesError, unknown
from nashgames.registry import (
    Choice,
    Number,
    Parameter,
    Registry,
    Selection,
    bind,
    convert,
    parameters_of,
    parse,
    render,
    split,
)

NAMES = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12)
KEYS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
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
        ("f[strenght=2]", "game 'f' has no parameter 'strenght'; did you mean 'strength'? Accepted: strength, rou"),
        ("f[actions=2]", "game 'f' has no parameter 'actions'"),
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
    assert str(unknown("solver", "zzz", ["nash-mp"])) == "unknown solver 'zzz'; accepted: nash-mp"
    assert str(unknown("parameter", "x", [])) == "unknown parameter 'x', as there is none; leave it out"
    assert isinstance(unknown("a", "b", []), ValueError)


@dataclass(frozen=True)
class Part:
    """A part with a parameter of every kind."""

    step: Annotated[float | None, Number("the step", symbol="η", above=0, tuned=True)] = None
    share: Annotated[float, Number("a share", above=0, most=1)] = 1.0
    inner: Annotated[int, Number("steps", least=1)] = 20
    width: Annotated[int, Number("units", least=1, most=1000)] = 64
    mode: Annotated[str, Choice("which", ("own", "target"))] = "own"

    name: ClassVar[str] = "part"

    def check(self) -> None:
        if self.mode == "target" and self.inner == 1:
            raise NashGamesError("part[mode=target] needs inner of at least 2; give more")


PARTS = Registry("part", {"part": Part})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part[step=0]", "part[step] is 0; accepted: a finite number above 0"),
        ("part[step=nan]", "part[step] is nan; accepted: a finite number above 0"),
        ("part[step=inf]", "part[step] is inf; accepted: a finite number above 0"),
        ("part[share=1.5]", "part[share] is 1.5; accepted: a number above 0 and at most 1"),
        ("part[inner=0]", "part[inner] is 0; accepted: an integer from 1 to 2,147,483,647"),
        ("part[inner=2147483648]", "part[inner] is 2147483648; accepted: an integer from 1 to 2,147,483,647"),
        ("part[width=1001]", "part[width] is 1001; accepted: an integer from 1 to 1,000"),
        ("part[mode=both]", "part[mode] is 'both'"),
        ("part[mode=target,inner=1]", "part[mode=target] needs inner of at least 2; give more"),
        ("prat", "unknown part 'prat'; did you mean 'part'? Accepted: part"),
        ("part[sahre=1]", "part 'part' has no parameter 'sahre'; did you mean 'share'?"),
        ("mine.py:Part", "unknown part 'mine.py:Part'"),
    ],
)
def test_a_part_that_is_not_accepted_is_told_in_a_sentence(text, said):
    with pytest.raises(NashGamesError) as told:
        PARTS.make(text)
    assert str(told.value).startswith(said)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["part[inner=2147483647]", "part[width=1000]", "part[share=1]", "part[mode=target]"])
def test_the_ends_of_an_interval_are_accepted(text):
    PARTS.make(text)


def test_an_object_is_checked_like_its_text():
    PARTS.check(Part())
    for wrong, said in ((Part(step=-1.0), "is -1; accepted"), (Part(mode="target", inner=1), "needs inner")):
        with pytest.raises(NashGamesError, match=said):
            PARTS.check(wrong)


@given(st.floats(1e-300, 1e300), st.floats(1e-9, 1), st.integers(1, 2**31 - 1), st.sampled_from(["own", "target"]))
@settings(max_examples=50, deadline=None)
def test_the_text_of_an_object_makes_it_again(step, share, inner, mode):
    made = Part(step, share, inner + (inner == 1), 64, mode)
    text = PARTS.text(made)
    assert PARTS.make(text) == PARTS.make(str(text)) == made
    assert PARTS.text(Part()) == "part", "what is left at its default is not said"


def test_a_number_says_its_symbol_and_whether_it_is_tuned():
    declared = PARTS.parameters(Part)
    assert list(declared) == ["step", "share", "inner", "width", "mode"]
    assert {key: one.symbol for key, one in declared.items() if one.symbol} == {"step": "η"}
    assert [key for key, one in declared.items() if one.tuned] == ["step"]
    assert [one.kind for one in declared.values()] == [float, float, int, int, str]
    assert declared["mode"].words == ("own", "target")


def test_a_selection_is_its_text_and_is_not_parsed_again():
    found = parse("average[nash-mp[eta=0.2]]")
    assert parse(found) is found
    assert (found, hash(found)) == ("average[nash-mp[eta=0.2]]", hash("average[nash-mp[eta=0.2]]"))
    assert parse(found.positional[0]).parameters == {"eta": "0.2"}
