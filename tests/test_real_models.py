"""The language model of `docs/real-models.md`: what its page trains and masks is right."""

import contextlib
import io

import numpy as np
import pytest

from tests.test_docs import DOCS, blocks

torch = pytest.importorskip("torch", reason="the extra language-models is not installed")
pytest.importorskip("transformers", reason="the extra language-models is not installed")


@pytest.fixture(scope="module")
def page():
    """The names of the page after all of its blocks."""
    namespace: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(DOCS / "real-models.md"):
            if block.language == "python":
                exec(block.text, namespace)
    return namespace


@torch.no_grad()
def by_tokens(model, prompt, answer):
    """log π(y | x) of one answer, token after token, with nothing else in the batch."""
    total = 0.0
    for place, token in enumerate(answer):
        logits = model(input_ids=torch.tensor([[*prompt, *answer[:place]]])).logits[0, -1].double()
        total += float(logits[token] - torch.logsumexp(logits, -1))
    return total


def test_a_padded_batch_has_the_log_probabilities_of_its_answers_alone(page):
    """Prompts and answers of many lengths, one of them with the padding token and one without an end."""
    start, end, pad = page["START"], page["END"], page["PAD"]
    prompts = [[start, 6], [start, 6, 7, 7], [start], [start, 6, 7]]
    answers = [[3, end], [4, 5, 3, end], [end], [pad, 5]]
    tokens, real, answer = page["batch"](prompts, answers)
    assert answer.sum(-1).tolist() == [2, 4, 1, 2] and real.sum(-1).tolist() == [4, 8, 2, 5]
    with torch.no_grad():
        found = page["log_probabilities"](page["model"], tokens, real, answer)
    wanted = [by_tokens(page["model"], *pair) for pair in zip(prompts, answers, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_answers_are_drawn_with_the_log_probabilities_that_are_scored(page):
    """Frequencies of the first token of 4,000 answers against the model's own, prompts padded on the left."""
    torch.manual_seed(1)
    prompts = [[page["START"], 6], [page["START"], 6, 7, 7]]
    answers = page["drawn"](page["model"], prompts, 4000, longest=1)
    for first, prompt in ((0, prompts[0]), (4000, prompts[1])):
        counts = np.bincount([answer[0] for answer in answers[first : first + 4000]], minlength=8)
        chances = np.exp([by_tokens(page["model"], prompt, [token]) for token in range(8)])
        # Five standard errors of a binomial.
        assert np.all(np.abs(counts / 4000 - chances) <= 5 * np.sqrt(chances * (1 - chances) / 4000))


def test_training_moves_what_it_should(page):
    assert page["offline"][-1] < 0.1 * page["offline"][0]
    policy, target, reference = (page[name].state_dict() for name in ("model", "target", "reference"))
    name = "model.embed_tokens.weight"
    moved, followed = ((each[name] - reference[name]).norm() for each in (policy, target))
    assert 0 < followed < 0.5 * moved
