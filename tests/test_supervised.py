"""A reference that is a network fitted to the corpus: what it learns, that it is made once, and where it is refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments.sources import reference_key
from nashgames.games import corpus
from nashgames.games.families import generate
from nashgames.learning import supervised
from nashgames.learning.references import resolve_reference

SIZE = "network[kind=gru,width=4,samples=200,steps=60,batch=50,step=0.05,seed=1]"
GAME = "sequence-voters[vocabulary=3,length=2,contexts=2]"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NASHGAMES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "references"


def cross_entropy(game, log_reference):
    """−Σ p log μ of every prompt, p the source of the corpus."""
    log_source = np.stack([chain.log_probs() for chain in corpus.source(game)])
    return -np.sum(np.exp(log_source) * log_reference, axis=-1), -np.sum(np.exp(log_source) * log_source, axis=-1)


def test_a_network_learns_its_corpus_is_made_once_and_again_where_its_file_is_damaged(cache, monkeypatch):
    game = generate(GAME)
    log_reference = resolve_reference(SIZE, game, 7)
    assert log_reference.shape == (2, game.actions)
    np.testing.assert_allclose(np.exp(log_reference).sum(axis=1), 1, atol=1e-12)
    found, least = cross_entropy(game, log_reference)
    even = corpus.Chain(game.description.sequences, 0, np.full((1, 4), -np.log(4)))
    begun, _ = cross_entropy(game, even.log_probs())
    assert np.all(found > least) and np.all(found - least < 0.5 * (begun - least)), "half of the way at every prompt"
    (path,) = cache.glob("*.npz")
    made = []
    own = supervised._fitted
    monkeypatch.setattr(supervised, "_fitted", lambda *parts: made.append(1) or own(*parts))
    assert np.array_equal(resolve_reference(SIZE, game), log_reference) and not made, "its own seed, not the run's"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert np.array_equal(resolve_reference(SIZE, game), log_reference), "the same bits, computed again"
    monkeypatch.setattr(supervised, "_fitted", lambda *parts: made.append(1) or log_reference)
    for damaged in (b"", whole.replace(log_reference.tobytes()[:64], bytes(64))):
        path.write_bytes(damaged)
        assert np.array_equal(resolve_reference(SIZE, game), log_reference)
        assert np.array_equal(supervised._read(path, (2, 13)), log_reference)
    assert len(made) == 3
    # What show says of it is the exact number, from what is kept.
    done = CliRunner().invoke(app, ["show", GAME, "--reference", SIZE, "--no-plot", "--json"])
    assert done.exit_code == 0, done.output
    prompts = json.loads(done.stdout)["prompts"]
    assert [each["cross_entropy"] for each in prompts] == pytest.approx(found)
    assert [each["entropy"] for each in prompts] == pytest.approx(least)
    assert len(made) == 3


def test_the_corpus_is_of_the_seed_and_nothing_is_kept_where_the_cache_is_off(cache, monkeypatch):
    assert reference_key("network[steps=9]", 3) == ("network[steps=9]", 3)
    assert reference_key("network[seed=1]", 3) == ("network[seed=1]", 0)
    made = []
    monkeypatch.setattr(supervised, "_fitted", lambda game, *parts: made.append(parts) or np.zeros((2, 13)))
    game = generate(GAME)
    monkeypatch.setenv("NASHGAMES_CACHE", "off")
    for seed in (0, 0, 1):
        resolve_reference("network[steps=1]", game, seed)
    first, again, other = made
    assert np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert not np.array_equal(first[1], other[1]) and first[2] != other[2]
    assert not cache.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("network[kind=mlp]", "unknown kind of network 'mlp'"),
        ("network[steps=0]", "network[steps] is 0; accepted: an integer from 1 to 1,000,000"),
        ("network[samples=10,batch=11]", "network[batch] is 11; accepted: an integer from 1 to 10"),
        ("network[step=0]", "network[step] is 0; accepted"),
        ("network[width=3]", "heads is 2 and width is 3"),
    ],
)
def test_what_is_not_accepted_is_a_sentence(text, says):
    with pytest.raises(NashGamesError) as caught:
        resolve_reference(text, generate(GAME))
    assert says.replace("heads is 2", "transformer[heads] is 2") in str(caught.value)


def test_games_of_other_actions_have_no_corpus():
    with pytest.raises(NashGamesError, match="disc has no corpus, as its actions are not sequences of tokens"):
        resolve_reference("network", generate("disc", actions=5))
    refused = CliRunner().invoke(app, ["show", "disc", "-n", "5", "--reference", "uniform", "--no-plot"])
    assert refused.exit_code == 2 and "disc has none" in refused.output
