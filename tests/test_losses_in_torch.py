"""Losses on torch tensors: the numbers and gradients of JAX, and the update of a module's target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames import losses
from nashgames.core.precision import Precision
from tests.test_losses import calls, drawn

torch = pytest.importorskip("torch", reason="the extra language-models is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_has_the_losses_and_gradients_of_jax(rng, dtype):
    given = drawn(rng, dtype)
    tensors = [torch.from_numpy(each) for each in given]
    tensors[0].requires_grad_()
    found = calls(*tensors)
    with Precision(dtype).scope():
        arrays = list(map(jnp.asarray, given))
        for name, value in calls(*arrays).items():
            assert str(found[name].dtype) == f"torch.{dtype}"
            rtol = 2e-6 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(found[name].detach(), value, rtol=rtol)
            (slope,) = torch.autograd.grad(found[name], tensors[0])
            wanted = jax.grad(lambda log_policy, name=name: calls(log_policy, *arrays[1:])[name])(arrays[0])
            np.testing.assert_allclose(slope, wanted, atol=10 * rtol)


def test_answers_without_padding_in_torch():
    tokens = torch.tensor([[-torch.inf, -1.0, -2.0]], requires_grad=True)
    found = losses.of_sequences(tokens, torch.tensor([[0, 1, 1]]))
    found.sum().backward()
    assert found.tolist() == [-3.0]
    assert tokens.grad.tolist() == [[0.0, 1.0, 1.0]]


def test_the_state_of_a_module_follows_another():
    model, target = (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)) for _ in range(2))
    model(torch.ones(2, 2))
    before = target[0].weight.detach().clone()
    target.load_state_dict(losses.moving_target(target.state_dict(), model.state_dict(), 0.25))
    torch.testing.assert_close(target[0].weight, 0.75 * before + 0.25 * model[0].weight)
    assert target[1].num_batches_tracked == 1
    followed = losses.moving_target(list(target.parameters()), list(model.parameters()), 1)
    torch.testing.assert_close(followed, list(model.parameters()))


def test_half_precision_stays():
    log_policy = torch.zeros(3, 2, dtype=torch.bfloat16, requires_grad=True)
    for name, value in calls(log_policy, *torch.zeros(3, 3, 2, dtype=torch.bfloat16), torch.zeros(3, 2, 2)).items():
        assert value.dtype == torch.bfloat16, name


def test_the_gradient_in_logits_is_that_of_a_table(rng):
    """A model whose answers are single tokens is a table: Σ_k r_k (e_{y_k} − π), prompt by prompt, by hand."""
    logits = torch.tensor(rng.normal(size=(3, 5)), requires_grad=True)
    actions = torch.tensor(rng.integers(5, size=(3, 4)))
    labels = rng.uniform(size=(3, 4, 4))
    others = rng.normal(size=(2, 3, 4))
    log_policy = logits.log_softmax(-1).gather(-1, actions)
    losses.nash_prox(log_policy, *torch.tensor(others), torch.tensor(labels), beta=0.1, eta=0.2).backward()
    won = labels - 0.5
    won[:, range(4), range(4)] = 0
    penalty = 0.1 * (1 + 1 / 0.2) * (log_policy.detach().numpy() - (0.2 * others[0] + others[1]) / 1.2)
    rewards = won.sum(-1) / 3 - penalty + (penalty.sum(-1, keepdims=True) - penalty) / 3
    policy = torch.softmax(logits, -1).detach().numpy()
    wanted = np.zeros((3, 5))
    for x in range(3):
        for k, action in enumerate(actions[x]):
            wanted[x] -= rewards[x, k] / 12 * (np.eye(5)[action] - policy[x])
    np.testing.assert_allclose(logits.grad, wanted, atol=1e-14)
