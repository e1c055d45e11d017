"""Families of games by name, and the memory check that comes before a game is made.

`generate("disc[strength=2]", actions=200, seed=1)` and `generators.disc(strength=2.0, actions=200, seed=1)` are one
game. The mathematics of the families is in `logit_families` and `margin_families`.
"""

import inspect
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np

from nashgames.core.game import DEFAULT_BETA, Description, Game, KnownEquilibrium, check_beta, make_game
from nashgames.core.next_tokens import Chains
from nashgames.defaults import AUTO
from nashgames.errors import NashGamesError, has_no, unknown, wrong_word
from nashgames.games.families import logit_families, margin_families, sequence_families
from nashgames.games.families.logit_families import planting_reference
from nashgames.games.families.recipes import Recipe, accept, check_finite, summary_of
from nashgames.games.families.storing import RUN_MEMORY, Form, bytes_of, check_fits, count_text, storage_of, stored
from nashgames.games.streams import DRAWS, DRAWS_HELP, stream
from nashgames.registry import Parameter, Selection, bind, convert, parameters_of, parse, render

__all__ = [
    "FAMILIES",
    "RUN_MEMORY",
    "Family",
    "Form",
    "bytes_of",
    "check_fits",
    "count_text",
    "generate",
    "planting_reference",
    "storage_of",
]

_COMMON = """\
    actions: n, where the size is free; 100 unless given, 3 of circulant
    seed: seed of what is drawn at random
    beta: β of the game, above 0
    dtype: float64 or float32, of the margins
    storage: how the margins are kept: auto, or a name that `nashgames list storages` shows

Raises:
    NashGamesError: for a parameter that is not accepted, and for a game that does not fit into the memory.

Example:
    >>> import nashgames as ng
    >>> game = ng.games.{name}(seed=1)
    >>> game.margins.shape[-2:] == (game.actions, game.actions)
    True
"""
"""The part that the docstrings of all families share: common arguments, and an example."""

_RUNS_OWN: Any = None
"""The seed of a game that is not pinned to one."""


@dataclass(frozen=True)
class Family:
    """A family of games.

    `build` is its mathematics; `size` computes n for a family whose parameters determine it, otherwise n is the
    caller's or `default_actions`. `takes_seed` says that it draws at random, and then it has contexts and can be pinned
    to one draw; `takes_beta` that the run's β is part of the construction, unless the game is pinned to another, and
    then the game brings its own reference; `shared` that its contexts share some of their random numbers; `form` is the
    formula of its margins by its parameters, None where every entry has to be kept; `prompts` the usual number of
    contexts where these are prompts, 0 of other families.
    """

    name: str
    build: Callable[..., Recipe]
    default_actions: int = 100
    size: Callable[..., int] | None = None
    takes_seed: bool = True
    takes_beta: bool = False
    shared: bool = False
    prompts: int = 0
    form: Callable[..., Form | None] = lambda **values: None

    @property
    def summary(self) -> str:
        """One line for a list."""
        return summary_of(self.build)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The typed, documented parameters in order, those of every random family last."""
        own = parameters_of(self.build) | (parameters_of(_of_planted_families) if self.takes_beta else {})
        drawn = parameters_of(_of_random_families) if self.takes_seed else {}
        if self.prompts:
            drawn["contexts"] = replace(drawn["contexts"], default=self.prompts, help=sequence_families.PROMPTS_HELP)
        return own | drawn

    @property
    def takes_actions(self) -> bool:
        """Whether n is free."""
        return self.size is None

    @property
    def brings_reference(self) -> bool:
        """Whether the reference is part of the game; only the reference `own` is accepted then."""
        return self.takes_beta


def given_to(family: Family, selection: Selection) -> dict[str, Any]:
    """The parameters that a selection gives to its family, typed.

    Raises NashGamesError for one that does not exist or is not accepted, and for n, which stands beside the selection.
    """
    size = next((key for key in ("actions", "n") if key in selection.parameters), None)
    if size is not None and family.size is None:
        n = selection.parameters[size]
        raise NashGamesError(f"'{selection}' has its size in brackets; write {family.name} and give actions: -n {n}")
    return bind("game", selection, family.parameters)


def generate(
    selection: str,
    *,
    actions: int | None = None,
    seed: int = 0,
    beta: float = DEFAULT_BETA,
    dtype: Any = np.float64,
    storage: str = AUTO,
    **parameters: Any,
) -> Game:
    """The game that `selection` names: `disc[strength=2]`, or `disc` with `strength=2.0` as a keyword.

    The same arguments give the same bits; float32 margins are the float64 margins rounded once. One seed uses the same
    random numbers at every n (the first ten ratings of `bradley-terry` at n = 20 are those at n = 10), so that games of
    several sizes are not independent draws; with `draws=independent` they are. With `contexts=m` the
    margins are `[m, n, n]`: m independent draws, of which context 0 is the game without contexts; the weights ρ are
    uniform or drawn (`make_game` takes any). A seed in the selection, `disc[seed=3]`, is part of the game's name and
    counts instead of `seed`; so is the β of a planted family, `planted-regularised[beta=0.1]`, which then is one game
    for runs of any `beta`. `description.known_equilibrium` holds π* or π*_β where the family has it, and
    `description.features` what it made the margins from. The same seed gives the same game in every `storage`, to its
    rounding.

    Raises NashGamesError for an unknown family or parameter, a value that the family refuses, and a game that does not
    fit into memory (before anything is allocated).
    """
    parsed = parse(selection)
    if parsed.name not in FAMILIES:
        raise unknown("game", parsed.name, FAMILIES)
    family = FAMILIES[parsed.name]
    values = _resolved(family, given_to(family, parsed), parameters)
    contexts, weights = values.pop("contexts", 1), values.pop("weights", "uniform")
    pinned, draws = values.pop("seed", None), values.pop("draws", DRAWS[0])
    accept(f"{family.name}[contexts]", contexts, least=1)
    if weights not in ("uniform", "drawn"):
        raise wrong_word(f"{family.name}[weights]", weights, ("uniform", "drawn"))
    if draws not in DRAWS:
        raise wrong_word(f"{family.name}[draws]", draws, DRAWS)
    if pinned is not None:
        accept(f"{family.name}[seed]", pinned, least=0)
    made_for = values.pop("beta", None)
    if (name := getattr(dtype, "__name__", str(dtype))) not in ("float32", "float64"):
        raise wrong_word("dtype", name, ("float32", "float64"))
    seed, dtype = _typed("seed", seed, int) if pinned is None else pinned, np.dtype(name)
    check_beta(beta)
    planted = beta if made_for is None else made_for
    check_beta(planted)
    n = _size(family, values, actions)
    what = "" if family.size is None else f"{render(family.name, values)} with its {count_text(n)} actions"
    form = family.form(**values)
    storage = storage_of(storage, form, n, family.name)
    check_fits(n, contexts, dtype, storage, form, what=what)
    size = () if draws == DRAWS[0] else (n,)
    listed = storage != "written"
    recipes = [_recipe(family, values, n, seed, planted, context, size, listed=listed) for context in range(contexts)]
    margins = stored(storage, recipes, n, dtype)
    references = [
        recipe.log_reference(margins.of_context(context))
        for context, recipe in enumerate(recipes)
        if recipe.log_reference
    ]
    equilibria = [recipe.log_equilibrium for recipe in recipes if recipe.log_equilibrium is not None]
    features = [recipe.features for recipe in recipes if recipe.features is not None]
    prompts = [recipe.prompt for recipe in recipes if recipe.prompt is not None]
    several, told = contexts > 1, recipes[0].sequences
    uniform = Chains.uniform(told, contexts) if told is not None and not listed else None
    drawn = stream(seed, "weights", family.name, *size).dirichlet(np.ones(contexts)) if weights == "drawn" else None
    description = Description(
        name=family.name,
        parameters=values
        | ({"contexts": contexts, "weights": weights} if several or family.prompts else {})
        | ({} if made_for is None else {"beta": made_for})
        | ({} if pinned is None else {"seed": pinned})
        | ({} if draws == DRAWS[0] else {"draws": draws}),
        labels=recipes[0].labels,
        seed=seed if family.takes_seed else None,
        known_equilibrium=KnownEquilibrium(planted if family.takes_beta else 0.0, _stacked(equilibria))
        if equilibria
        else None,
        features=_stacked(features) if features else None,
        sequences=told,
        prompts=np.stack(prompts) if prompts else None,
    )
    return make_game(
        margins,
        beta=beta,
        log_reference=_stacked(references) if references else uniform,
        weights=drawn if several else None,
        description=description,
    )


def _of_planted_families(
    beta: Annotated[float, "β of the planted equilibrium whatever the run's β is; default: the run's β"] = _RUNS_OWN,
) -> None:
    """The parameters of every family that is built around π*_β."""


def _of_random_families(
    contexts: Annotated[int, "number of contexts m: independent games, solved together"] = 1,
    weights: Annotated[str, "weights of the contexts: uniform, or drawn (uniform on the simplex)"] = "uniform",
    seed: Annotated[int, "one draw of the game whatever the run's seed is; default: the run's seed"] = _RUNS_OWN,
    draws: Annotated[str, DRAWS_HELP] = DRAWS[0],
) -> None:
    """The parameters of every family that draws at random."""


def _resolved(family: Family, bound: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of the family, in order: defaults, those of the selection, and the keywords."""
    accepted = family.parameters
    typed = {}
    for name, value in given.items():
        if name not in accepted:
            size = ["actions"] if family.takes_actions else []
            raise has_no(f"game '{family.name}'", "parameter", name, [*size, *accepted])
        if name in bound:
            raise NashGamesError(f"{family.name}[{name}] is given in the selection and as a keyword; give it once")
        typed[name] = _typed(f"{family.name}[{name}]", value, accepted[name].kind)
    values = {name: parameter.default for name, parameter in accepted.items()} | dict(bound) | typed
    check_finite(family.name, values)
    return values


def _typed(what: str, value: Any, kind: type) -> Any:
    """A keyword's value as the parameter's type; text is read like in a selection."""
    accepted = {bool: bool | np.bool_, int: numbers.Integral, float: numbers.Real, str: str}[kind]
    if isinstance(value, accepted) and (kind is bool or not isinstance(value, bool | np.bool_)):
        return kind(value)
    return convert(what, str(value), kind)


def _size(family: Family, values: Mapping[str, Any], actions: int | None) -> int:
    if actions is not None:
        actions = _typed("actions", actions, int)
    if family.size is None:
        return family.default_actions if actions is None else actions
    n = family.size(**values)
    if actions not in (None, n):
        raise NashGamesError(
            f"actions is {actions}, but {family.name} has {count_text(n)} with these parameters; leave actions out"
        )
    return n


def _recipe(
    family: Family,
    values: Mapping[str, Any],
    n: int,
    seed: int,
    beta: float,
    context: int,
    size: tuple[int, ...],
    *,
    listed: bool,
) -> Recipe:
    """The recipe of one context, with its own random numbers, which depend on n where `size` is `(n,)`."""
    own = stream(seed, "game", family.name, context, *size)
    beyond = ({"beta": beta} if family.takes_beta else {}) | (
        {"shared": stream(seed, "game", family.name, "shared", *size)} if family.shared else {}
    )
    beyond |= {"listed": listed} if family.prompts else {}
    return family.build(own, n, **values, **beyond)


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """`[n]` for a single context, `[m, n]` for several."""
    return parts[0] if len(parts) == 1 else np.stack(parts)


def _linked(numbers: Callable[..., int]) -> Callable[..., Form]:
    """The form of logits that are bilinear in as many numbers of an action."""
    return lambda link, **values: Form("lowrank" if link == "linear" else "streamed", numbers(**values))


def _of_sequences(name: str, build: Callable[..., Recipe], form: Callable[..., Form]) -> Family:
    """A family whose actions are all sequences of tokens."""
    size, prompts = partial(sequence_families.sequences_count, name), sequence_families.PROMPTS

    def with_tokens(*, vocabulary: int, length: int, **others: Any) -> Form:
        made = form(vocabulary=vocabulary, length=length, **others)
        return replace(made, written=made.numbers * (length * (vocabulary + 1) * vocabulary + 1))

    return Family(name, build, size=size, shared=True, prompts=prompts, form=with_tokens)


FAMILIES: dict[str, Family] = {
    "bradley-terry": Family("bradley-terry", logit_families.bradley_terry, form=lambda **values: Form("streamed", 2)),
    "uniform": Family("uniform", margin_families.uniform),
    "random-logits": Family("random-logits", logit_families.random_logits),
    "tournament": Family("tournament", margin_families.tournament),
    "circulant": Family("circulant", margin_families.circulant, default_actions=3, takes_seed=False),
    "weighted-cycle": Family(
        "weighted-cycle", margin_families.weighted_cycle, size=lambda **margins: 3, takes_seed=False
    ),
    "disc": Family("disc", logit_families.disc, form=_linked(lambda planes, **_: 2 * planes)),
    "melo": Family("melo", logit_families.melo, form=_linked(lambda planes, **_: 2 * planes + 2)),
    "embedding": Family(
        "embedding", logit_families.embedding, shared=True, form=_linked(lambda dimension, **_: dimension)
    ),
    "blade-chest": Family(
        "blade-chest", logit_families.blade_chest, form=_linked(lambda dimension, **_: 2 * dimension + 2)
    ),
    "skill": Family("skill", margin_families.skill),
    "group-transitive": Family("group-transitive", margin_families.group_transitive),
    "voters": Family("voters", margin_families.voters, form=lambda types, **_: Form("streamed", types)),
    "spatial-voters": Family(
        "spatial-voters", margin_families.spatial_voters, form=lambda electors, **_: Form("streamed", electors)
    ),
    "mallows": Family("mallows", margin_families.mallows),
    "mixture": Family("mixture", margin_families.mixture),
    "blotto": Family(
        "blotto",
        margin_families.blotto,
        size=margin_families.blotto_actions,
        takes_seed=False,
        form=lambda fields, **_: Form("streamed", fields),
    ),
    "planted": Family("planted", margin_families.planted),
    "planted-regularised": Family(
        "planted-regularised",
        logit_families.planted_regularised,
        takes_beta=True,
        form=lambda base, **_: Form("streamed", 2) if base == "disc" else None,
    ),
    "bilinear": Family("bilinear", margin_families.bilinear, form=lambda planes, **_: Form("lowrank", 2 * planes)),
    "planted-log-linear": Family(
        "planted-log-linear",
        margin_families.planted_log_linear,
        takes_beta=True,
        shared=True,
        form=lambda planes, **_: Form("lowrank", 2 * planes + 2),
    ),
    "sequence-embedding": _of_sequences(
        "sequence-embedding", sequence_families.sequence_embedding, _linked(lambda dimension, **_: dimension + 2)
    ),
    "sequence-voters": _of_sequences(
        "sequence-voters", sequence_families.sequence_voters, lambda types, **_: Form("streamed", types)
    ),
    "sequence-styles": _of_sequences(
        "sequence-styles", sequence_families.sequence_styles, _linked(lambda length, **_: 2 * length + 2)
    ),
}


def __getattr__(name: str) -> Callable[..., Game]:
    """Every family as a function: `generators.random_logits(actions=50, strength=2.0, seed=1)`."""
    family = FAMILIES.get(name.replace("_", "-"))
    if family is None or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; families: {', '.join(FAMILIES)}")

    def game(**arguments: Any) -> Game:
        return generate(family.name, **arguments)

    keyword = inspect.Parameter.KEYWORD_ONLY
    common = list(inspect.signature(generate).parameters.values())[1:-1]
    # Seed and β are arguments of every function already, and mean the same.
    accepted = [p for p in family.parameters.values() if p.name not in ("seed", "beta")]
    own = [inspect.Parameter(p.name, keyword, default=p.default, annotation=p.kind) for p in accepted]
    help_ = "\n".join(f"    {p.name}: {p.help}" for p in accepted)
    game.__name__ = game.__qualname__ = name
    game.__doc__ = f"{inspect.getdoc(family.build)}\n\nArgs:\n{help_}\n{_COMMON.format(name=name)}"
    game.__signature__ = inspect.Signature([*own, *common], return_annotation=Game)  # type: ignore[attr-defined]
    return game


def __dir__() -> list[str]:
    return sorted([*globals(), *(name.replace("-", "_") for name in FAMILIES)])
