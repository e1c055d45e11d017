"""Games over sequences of tokens: judges by hand, prompts, the corpus, references, and what policies write."""

import itertools
import json
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from typer.testing import CliRunner

from nashgames.analysis.sequence_statistics import writing
from nashgames.cli.main import app
from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments.sources import find_source, reference_key
from nashgames.games import corpus
from nashgames.games.families import FAMILIES, generate, sequence_families
from nashgames.games.families.scores import Scores, lengths_and_repeats, texts_of, written
from nashgames.games.properties import strongest_cycle
from nashgames.games.streams import stream
from nashgames.learning.references import resolve_reference
from tests.games import kl

NAMES = [name for name in FAMILIES if name.startswith("sequence-")]
SIZE = {"vocabulary": 3, "length": 3}


def dense(game):
    return np.asarray(game.margins.to_dense())


def listed(sequences):
    """The tokens of every sequence without those behind its end, from the definition: shorter first, then in order."""
    tokens = range(1, sequences.vocabulary + 1)
    return [list(each) for size in range(sequences.length + 1) for each in itertools.product(tokens, repeat=size)]


def lengths_and_repeats_of(y):
    return len(y), sum(one == other for one, other in itertools.pairwise(y))


def seen_by_hand(shared, sequences, prompt, width, agreement):
    """v of every sequence: the sum over its tokens of the docstring of `sequence-embedding`."""
    v, length = sequences.vocabulary, sequences.length
    own, placed, pairs = (shared.standard_normal(shape) for shape in ((v, width), (length, v, width), (v, v, width)))
    match, topic = shared.standard_normal(width), shared.standard_normal(width)
    rows = []
    for y in listed(sequences):
        total = np.zeros(width)
        for t, token in enumerate(y):
            total += own[token - 1] + placed[t, token - 1]
            total += pairs[y[t - 1] - 1, token - 1] if t else 0
            total += agreement * (match * (token == prompt[t]) + topic * (token in prompt))
        rows.append(total)
    return np.array(rows) - np.mean(rows, axis=0)


def skew(a, b):
    return np.outer(a, b) - np.outer(b, a)


def scaled_by_hand(logits, strength):
    off = ~np.eye(len(logits), dtype=bool)
    return logits * strength / math.sqrt(np.mean(logits[off] ** 2))


def margins_of(logits, link):
    if link == "linear":
        return 0.5 * logits / np.abs(logits).max()
    return scipy.special.expit(logits) - 0.5


def biased(sequences, length_bias, repetition_bias):
    worth = np.array([lengths_and_repeats_of(y) for y in listed(sequences)]) @ [length_bias, repetition_bias]
    return worth[:, None] - worth


# The judges by hand


@pytest.mark.parametrize("link", ["logistic", "linear"])
def test_embedding_by_hand(link):
    game = generate(
        "sequence-embedding", seed=7, contexts=2, strength=1.5, dimension=6, gates=0.7, agreement=2.0,
        length_bias=0.3, repetition_bias=-0.4, link=link, **SIZE,
    )  # fmt: skip
    sequences = Sequences(**SIZE)
    for x, values in enumerate(dense(game)):
        own = stream(7, "game", "sequence-embedding", x)
        prompt = own.integers(1, 4, size=3)
        gates = np.exp(0.7 * own.standard_normal(3))
        v = seen_by_hand(stream(7, "game", "sequence-embedding", "shared"), sequences, prompt, 6, 2.0)
        cyclic = sum(gates[k] * skew(v[:, 2 * k], v[:, 2 * k + 1]) for k in range(3))
        logits = scaled_by_hand(cyclic, 1.5) + biased(sequences, 0.3, -0.4)
        np.testing.assert_allclose(values, margins_of(logits, link), atol=1e-12)
        np.testing.assert_array_equal(game.description.prompts[x], prompt)


def test_voters_by_hand():
    game = generate(
        "sequence-voters", seed=7, contexts=2, types=5, planes=3, gates=0.7, agreement=2.0, length_bias=0.3,
        repetition_bias=-0.4, **SIZE,
    )  # fmt: skip
    sequences = Sequences(**SIZE)
    counts = np.array([lengths_and_repeats_of(y) for y in listed(sequences)])
    for x, values in enumerate(dense(game)):
        own, shared = (stream(7, "game", "sequence-voters", path) for path in (x, "shared"))
        prompt = own.integers(1, 4, size=3)
        v = seen_by_hand(shared, sequences, prompt, 6, 2.0)
        v /= v.std(axis=0)
        gates = np.exp(0.7 * own.standard_normal(3))
        worth = np.zeros((5, 40))
        for z, (k, f) in itertools.product(range(5), enumerate((1, 2, 1))):
            angle = 2 * math.pi * f * z / 5
            worth[z] += gates[k] * (v[:, 2 * k] * math.cos(angle) + v[:, 2 * k + 1] * math.sin(angle))
        np.testing.assert_allclose(worth.sum(axis=0), 0, atol=1e-12)
        worth = worth / np.sqrt(np.mean(worth**2)) + counts @ [0.3, -0.4]
        expected = np.mean(np.sign(worth[:, :, None] - worth[:, None, :]), axis=0) / 2
        np.testing.assert_allclose(values, expected, atol=1e-12)


@pytest.mark.parametrize("link", ["logistic", "linear"])
def test_styles_by_hand(link):
    game = generate(
        "sequence-styles", seed=7, contexts=2, strength=1.5, uneven=0.3, gates=0.7, length_bias=0.3,
        repetition_bias=-0.4, link=link, **SIZE,
    )  # fmt: skip
    sequences, all_of_them = Sequences(**SIZE), listed(Sequences(**SIZE))
    strengths = np.exp(0.3 * stream(7, "game", "sequence-styles", "shared").standard_normal(3))
    for x, values in enumerate(dense(game)):
        own = stream(7, "game", "sequence-styles", x)
        order = (own.permutation(3) + 1).tolist()
        weights = np.exp(0.7 * own.standard_normal(3))

        def logit(one, other, order=order, weights=weights):
            return sum(
                weights[t] * strengths[u - 1] * strengths[v - 1]
                * math.sin(2 * math.pi * (order.index(v) - order.index(u)) / 3)
                for t, (u, v) in enumerate(zip(one, other, strict=False))
            )  # fmt: skip

        cyclic = np.array([[logit(one, other) for other in all_of_them] for one in all_of_them])
        logits = scaled_by_hand(cyclic, 1.5) + biased(sequences, 0.3, -0.4)
        np.testing.assert_allclose(values, margins_of(logits, link), atol=1e-12)
        assert game.description.prompts[x].tolist() == order


def test_an_embedding_without_biases_is_all_cycles():
    game = generate("sequence-embedding[link=linear,length_bias=0,repetition_bias=0]", **SIZE)
    np.testing.assert_allclose(dense(game).sum(axis=-1), 0, atol=1e-13)


@pytest.mark.parametrize("name", ["sequence-embedding", "sequence-styles"])
def test_without_a_strength_the_biases_are_all_there_is(name):
    game = generate(name, strength=0.0, length_bias=0.2, repetition_bias=-0.5, contexts=1, **SIZE)
    expected = scipy.special.expit(biased(Sequences(**SIZE), 0.2, -0.5)) - 0.5
    np.testing.assert_allclose(dense(game), expected, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_a_judge_who_likes_length_or_repetition_gets_it(name):
    written_at = {
        bias: writing(equilibrium(generate(name, beta=0.1, **SIZE, **{bias: 2.0})).log_policy, Sequences(**SIZE))
        for bias in ("length_bias", "repetition_bias")
    }
    plain = writing(equilibrium(generate(name, beta=0.1, **SIZE)).log_policy, Sequences(**SIZE))
    assert np.all(written_at["length_bias"].length > plain.length)
    assert np.all(written_at["repetition_bias"].repetition > plain.repetition)


# Cycles, prompts and sizes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_every_prompt_has_a_cycle_and_no_sequence_beats_all(name, seed):
    game = generate(name, seed=seed, length=3)
    for x in range(game.contexts):
        values = game.margins.of_context(x).to_dense()
        i, j, k = strongest_cycle(values)
        # One voter of five more than half of them is a margin of a tenth; logits have few as small.
        assert min(values[i, j], values[j, k], values[k, i]) > 0.09
        assert not (np.sum(values > 0, axis=1) == game.actions - 1).any()


def test_the_strongest_cycle_is_that_of_all_triples(rng):
    values = rng.normal(size=(9, 9))
    values -= values.T
    triples = list(itertools.permutations(range(9), 3))
    weakest = [min(values[i, j], values[j, k], values[k, i]) for i, j, k in triples]
    i, j, k = strongest_cycle(values)
    assert min(values[i, j], values[j, k], values[k, i]) == max(weakest) > 0
    assert strongest_cycle(np.subtract.outer(np.arange(4.0), np.arange(4.0))) is None


@pytest.mark.parametrize("name", NAMES)
def test_contexts_are_prompts_four_unless_given(name):
    game = generate(name, **SIZE)
    assert game.contexts == find_source(name).contexts == 4
    assert game.description.sequences == Sequences(**SIZE)
    assert len(game.description.prompts) == 4
    one = generate(f"{name}[contexts=1]", **SIZE)
    assert (one.contexts, one.description.prompts.shape[0]) == (1, 1)
    assert one.description.parameters["contexts"] == 1
    np.testing.assert_array_equal(one.margins.to_dense(), dense(game)[0])
    assert find_source(f"{name}[contexts=1]").text == f"{name}[contexts=1]"
    assert find_source(f"{name}[contexts=4]").text == name
    assert find_source(name).size == 781
    assert "prompts" in FAMILIES[name].parameters["contexts"].help
    # What depends on the prompt is not all of the game: prompts are more alike than seeds.
    other = generate(f"{name}[draws=independent]", **SIZE)
    assert not np.array_equal(dense(other), dense(game))


def test_labels_are_texts_of_as_many_sequences_as_are_worth_it(monkeypatch):
    game = generate("sequence-voters", **SIZE)
    assert game.description.labels == tuple(game.description.sequences.text(i) for i in range(40))
    monkeypatch.setattr(sequence_families, "LABELLED", 39)
    assert generate("sequence-voters", **SIZE).description.labels is None


@pytest.mark.parametrize("sequences", [Sequences(3, 3), Sequences(28, 2), Sequences(2, 1)])
def test_scores_and_texts_are_those_of_the_tokens(sequences, rng):
    numbers = np.arange(sequences.count)
    table = rng.normal(size=(sequences.length, sequences.vocabulary + 1, sequences.vocabulary, 2))
    scores = Scores(sequences, table)
    np.testing.assert_allclose(scores.of(sequences.tokens(numbers)), scores.of_all(), atol=1e-14)
    counts = lengths_and_repeats(sequences).of_all()
    np.testing.assert_array_equal(counts, [lengths_and_repeats_of(y) for y in listed(sequences)])
    assert texts_of(sequences) == tuple(sequences.text(i) for i in numbers)
    assert written(sequences, np.array([1, 2, 2, 1])) == ("1 2 2 1" if sequences.vocabulary == 28 else "abba")


def test_under_a_chain_the_equilibrium_of_bilinear_margins_is_a_chain():
    """Given the token between them, the first and the third token are independent."""
    for name in ("sequence-embedding[link=linear]", "sequence-styles[link=linear]"):
        game = generate(name, seed=1, beta=0.1, **SIZE)
        game = game.replace(log_reference=resolve_reference("corpus", game))
        whole = equilibrium(game).log_policy[:, game.description.sequences.shorter_than(3) :].reshape(4, 3, 3, 3)
        mixed = whole[:, 1:, :, 1:] - whole[:, :1, :, 1:] - whole[:, 1:, :, :1] + whole[:, :1, :, :1]
        np.testing.assert_allclose(mixed, 0, atol=1e-9)
        assert np.ptp(whole) > 1


# The corpus


def test_the_source_by_hand():
    game = generate("sequence-embedding", seed=3, vocabulary=3, length=2, contexts=2)
    pairs = stream(3, "corpus", "shared").standard_normal((4, 4))
    for x, chain in enumerate(corpus.source(game)):
        likes = stream(3, "corpus", x).standard_normal(3)

        def step(before, token, x=x, likes=likes):
            weights = np.exp(pairs[before])
            weights[0] *= 3 / 2
            weights[1:] *= np.exp(likes + np.isin([1, 2, 3], game.description.prompts[x]))
            return weights[token] / weights.sum()

        probabilities = np.exp(chain.log_probs())
        for probability, y in zip(probabilities, listed(Sequences(3, 2)), strict=True):
            path = [0, *y, *([0] if len(y) < 2 else [])]
            assert probability == pytest.approx(math.prod(itertools.starmap(step, itertools.pairwise(path))), rel=1e-12)
        assert probabilities.sum() == pytest.approx(1, abs=1e-14)
        tokens = chain.sequences.tokens(np.arange(13))
        np.testing.assert_allclose(chain.log_prob(tokens), chain.log_probs(), atol=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_samples_have_the_frequencies_of_their_chain(order, rng):
    sequences = Sequences(2, 3)
    logits = rng.normal(size=(3**order, 3))
    chain = corpus.Chain(sequences, order, scipy.special.log_softmax(logits, axis=-1))
    assert np.exp(chain.log_probs()).sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(chain.log_prob(sequences.tokens(np.arange(15))), chain.log_probs(), atol=1e-14)
    numbers = sequences.numbers(chain.sample(np.random.default_rng(order), 20_000))
    counts = np.bincount(numbers, minlength=15)
    assert scipy.stats.chisquare(counts, 20_000 * np.exp(chain.log_probs())).pvalue > 0.001


def test_a_corpus_is_of_every_prompt_and_the_game_alone():
    game = generate("sequence-styles", seed=5, **SIZE)
    tokens = corpus.draw(game, 500, np.random.default_rng(0))
    assert tokens.shape == (4, 500, 3)
    for x, numbers in enumerate(Sequences(**SIZE).numbers(tokens)):
        expected = 500 * np.exp(corpus.source(game)[x].log_probs())
        often = expected > 10
        assert np.all(np.abs(np.bincount(numbers, minlength=40) - expected)[often] < 5 * np.sqrt(expected[often]))
    pinned = generate("sequence-styles[seed=5]", seed=9, **SIZE)
    for reference in ("corpus", "fitted"):
        one, again = (resolve_reference(reference, each, 1) for each in (game, pinned))
        np.testing.assert_array_equal(one, again)
        np.testing.assert_allclose(np.exp(one).sum(axis=-1), 1, atol=1e-12)
    apart = generate("sequence-styles[draws=independent]", seed=5, **SIZE)
    assert not np.array_equal(resolve_reference("corpus", apart), resolve_reference("corpus", game))


def test_a_chain_is_fitted_by_counting():
    sequences = Sequences(2, 3)
    tokens = np.array([[1, 2, 0], [1, 2, 2], [0, 0, 0], [2, 0, 0]])
    steps = np.exp(corpus.fit(tokens, sequences, 1, 0.0).log_steps)
    # After nothing: END, a, b once, twice and once. After a always b; after b END twice and b once.
    np.testing.assert_allclose(steps, [[1 / 4, 2 / 4, 1 / 4], [0, 0, 1], [2 / 3, 0, 1 / 3]])
    smooth = np.exp(corpus.fit(tokens, sequences, 1, 0.5).log_steps)
    np.testing.assert_allclose(smooth[1], [0.5 / 3.5, 0.5 / 3.5, 2.5 / 3.5])
    np.testing.assert_allclose(np.exp(corpus.fit(tokens, sequences, 0, 0.0).log_steps), [[3 / 9, 2 / 9, 4 / 9]])
    second = np.exp(corpus.fit(tokens, sequences, 2, 0.0).log_steps)
    # After a b: END and b once each; the history is a number with base 3.
    np.testing.assert_allclose(second[3 * 1 + 2], [1 / 2, 0, 1 / 2])
    with pytest.raises(NashGamesError, match="order is 20, which over 2 tokens has 3,486,784,401 histories"):
        corpus.fit(tokens, sequences, 20, 0.5)


def test_what_is_fitted_comes_closer_to_the_source_with_samples():
    game = generate("sequence-embedding", seed=2, **SIZE)
    exact = resolve_reference("corpus", game)
    far, near, unable = (
        kl(exact, resolve_reference(f"fitted[{text}]", game)).max()
        for text in ("samples=50", "samples=50000", "samples=50000,order=0")
    )
    # Chi-square in four rows of three free numbers: 6/50,000 nats on average.
    assert near < 1e-3 < far
    assert unable > 0.05
    one, other = (resolve_reference("fitted[samples=50]", game, seed) for seed in (0, 1))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(resolve_reference("fitted[samples=50,seed=1]", game, 0), other)


def test_which_references_depend_on_the_seed_of_the_run():
    assert reference_key("corpus", 3) == ("corpus", 0)
    assert reference_key("fitted[samples=9]", 3) == ("fitted[samples=9]", 3)
    assert reference_key("fitted[seed=1]", 3) == ("fitted[seed=1]", 0)
    assert reference_key("random", 3) == ("random", 3)


# What policies write


@pytest.mark.parametrize("sequences", [Sequences(**SIZE), Sequences(2, 2), Sequences(2, 4)], ids=str)
def test_statistics_are_sums_over_all_sequences(rng, sequences):
    log_policies = scipy.special.log_softmax(rng.normal(size=(2, sequences.count)), axis=-1)
    found = writing(log_policies, sequences)
    for x, policy in enumerate(np.exp(log_policies)):
        counts = [(p, *lengths_and_repeats_of(y)) for p, y in zip(policy, listed(sequences), strict=True)]
        assert found.length[x] == pytest.approx(sum(p * length for p, length, _ in counts))
        pairs = sum(p * max(length - 1, 0) for p, length, _ in counts)
        assert found.repetition[x] == pytest.approx(sum(p * repeats for p, _, repeats in counts) / pairs)
    silent = np.where(np.arange(sequences.count) == 0, 0.0, -np.inf)
    assert writing(silent, sequences) == (0, 0)


def test_single_tokens_repeat_nothing():
    assert writing(np.log([0.2, 0.5, 0.3]), Sequences(2, 1)) == (pytest.approx(0.8), 0)


# Errors and the terminal


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ("sequence-embedding[dimension=3]", "accepted: an even integer, such as 4"),
        ("sequence-embedding[vocabulary=1]", "vocabulary] is 1; accepted: an integer from 2"),
        ("sequence-styles[vocabulary=2]", "vocabulary] is 2; accepted: an integer from 3"),
        ("sequence-voters[length=0]", "length] is 0; accepted: an integer from 1"),
        ("sequence-voters[types=1]", "types] is 1; accepted: an integer from 3"),
        ("sequence-voters[types=4]", "types] is 4; accepted: an odd number, such as 5"),
        ("sequence-voters[planes=0]", "planes] is 0; accepted: an integer from 1"),
        ("sequence-styles[uneven=-1]", "uneven] is -1; accepted: a number from 0 to 10"),
        ("sequence-embedding[gates=11]", "gates] is 11; accepted: a number from 0 to 10"),
        ("sequence-embedding[agreement=-1]", "agreement] is -1; accepted: a number from 0 to 1,000"),
        ("sequence-embedding[length_bias=1e9]", "length_bias] is 1e+09; accepted: a number from -1,000,000 to"),
        ("sequence-styles[link=square]", "sequence-styles[link] is 'square'"),
        ("sequence-styles[vocabulary=100,length=12]", "1.01e+24 actions"),
    ],
)
def test_what_is_not_accepted_is_said_in_a_sentence(selection, says):
    with pytest.raises(NashGamesError) as caught:
        generate(selection)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_game_without_sequences_has_no_corpus():
    for reference in ("corpus", "fitted[samples=5]"):
        with pytest.raises(NashGamesError, match="disc has no corpus, as its actions are not sequences of tokens"):
            resolve_reference(reference, generate("disc", actions=5))
    game = generate("sequence-voters", **SIZE)
    for text in ("samples=0", "smoothing=0", "order=4", "order=-1"):
        with pytest.raises(NashGamesError, match=r"fitted\[\w+\] is .*; accepted"):
            resolve_reference(f"fitted[{text}]", game)


def called(*arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_show_prints_prompts_and_who_beats_whom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    selection = f"{name}[vocabulary=3,length=3]"
    told = json.loads(called("show", selection, "--no-plot", "--json"))["prompts"]
    game = generate(selection)
    for each, values in zip(told, dense(game), strict=True):
        places = [game.description.labels.index(text) for text in each["cycle"]]
        for i, j, p in zip(places, [*places[1:], places[0]], each["probabilities"], strict=True):
            assert p == pytest.approx(0.5 + values[i, j])
            assert p > 0.5
    lines = [" ".join(line.split()) for line in called("show", selection, "--no-plot").splitlines()]
    assert any(line.startswith("prompts 4") for line in lines)
    assert any(line.startswith(f"{told[2]['prompt']} 25 %") and " ≻ " in line for line in lines)
    assert any(line.startswith(f"at prompt {told[0]['prompt']}:") for line in lines)


def test_the_usual_number_of_prompts_is_listed():
    entries = called("list", "games").split("sequence-embedding")[1]
    assert "contexts = 4: number of prompts m" in " ".join(entries.split())
    assert "contexts = 1: number of contexts" not in " ".join(called("list", "games").split())


def test_equilibrium_prints_texts_of_one_prompt_and_of_sequences_without_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    selection = "sequence-styles[vocabulary=3,length=3,contexts=1]"
    game = generate(selection, beta=0.1)
    policy = np.exp(equilibrium(game).log_policy)
    best = game.description.sequences.text(int(policy.argmax()))
    arguments = ("equilibrium", selection, "--beta", "0.1", "--no-plot")
    ranked = " ".join(called(*arguments).split())
    assert f"1 {best} {100 * policy.max():.2f} %" in ranked
    assert "by prompt" not in ranked
    monkeypatch.setattr(sequence_families, "LABELLED", 0)
    unlabelled = " ".join(called(*arguments).split())
    assert "by prompt" in unlabelled
    assert f"{best} {100 * policy.max():.0f} %" in unlabelled
    assert "rank action" not in unlabelled


def test_equilibrium_prints_what_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    selection = "sequence-styles[vocabulary=3,length=3]"
    shown = called("equilibrium", selection, "--reference", "corpus", "--beta", "0.1", "--no-plot")
    game = generate(selection, beta=0.1)
    policy = np.exp(equilibrium(game.replace(log_reference=resolve_reference("corpus", game))).log_policy)
    for x in range(4):
        best = int(policy[x].argmax())
        assert f"{game.description.sequences.text(best)} {100 * policy[x, best]:.0f} %" in shown
