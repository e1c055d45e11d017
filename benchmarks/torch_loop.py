"""The sampled and parametrised updates as a straightforward PyTorch loop: the other side of `samples.py`.

Modules, a loss of what was drawn, `loss.backward()` and `torch.optim.SGD`, as a researcher writes them; nothing is
compiled or mapped. A run has the shapes `[n]`; with games in front, `[g, n]`, the same lines play g games in one
tensor, each with its own parameters. The learning rate is the step a of the solver's documentation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weights `[…, in, out]` and biases `[…, 1, out]` of a network."""


@dataclass(frozen=True)
class Game:
    """Margins A `[…, n, n]`, log μ `[…, n]` and β."""

    margins: Tensor
    log_reference: Tensor
    beta: float

    def advantage(self, log_policy: Tensor) -> Tensor:
        """q(π) = Aπ."""
        return (self.margins @ log_policy.exp().unsqueeze(-1)).squeeze(-1)

    def entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """A at the drawn actions `[…, b]`."""
        if rows.ndim == 1:
            return self.margins[rows, columns]
        return self.margins[torch.arange(len(rows)).unsqueeze(-1), rows, columns]


@dataclass(frozen=True)
class Duels:
    """`batch` duels a step, whose outcome is a bit, or P itself where the label is not binary."""

    batch: int
    binary: bool = True

    def draw(self, game: Game, behaviour: Tensor, opponent: Tensor) -> tuple[Tensor, Tensor]:
        """Actions y ~ `behaviour` and their outcomes o − ½ against y' ~ `opponent`, `[…, b]`."""
        rows = torch.multinomial(behaviour, self.batch, replacement=True)
        columns = torch.multinomial(opponent, self.batch, replacement=True)
        margins = game.entries(rows, columns)
        return rows, torch.bernoulli(margins + 0.5) - 0.5 if self.binary else margins


class Tabular(nn.Module):
    """π = softmax θ from θ_0 = log μ."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        self.logits = nn.Parameter(game.log_reference.clone())

    def forward(self) -> Tensor:
        return torch.log_softmax(self.logits, dim=-1)


class Network(nn.Module):
    """π ∝ μ e^f with f a ReLU network: of the actions' features `[…, n, d]`, or of a learned input `[…, 1, w]`."""

    def __init__(self, game: Game, inputs: Tensor, layers: Layers, learned: bool) -> None:
        super().__init__()
        self.log_reference = game.log_reference
        self.inputs = nn.Parameter(inputs.clone(), requires_grad=learned)
        self.weights = nn.ParameterList(weight.clone() for weight, _ in layers)
        self.biases = nn.ParameterList(bias.clone() for _, bias in layers)

    def forward(self) -> Tensor:
        values, affine = self.inputs, torch.addmm if self.inputs.ndim == 2 else torch.baddbmm
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = affine(bias, torch.relu(values) if layer else values, weight)
        return torch.log_softmax(self.log_reference + values.flatten(-2), dim=-1)


def online_ipo(game: Game, log_policy: Tensor, duels: Duels | None) -> Tensor:
    """Both responses from the policy: self-play policy gradient."""
    return policy_gradient(game, log_policy, log_policy.detach(), duels)


def nash_md_pg(game: Game, log_policy: Tensor, duels: Duels | None, mixture: float) -> Tensor:
    """The opponent is ∝ π^(1−λ) μ^λ."""
    log_opponent = (1 - mixture) * log_policy.detach() + mixture * game.log_reference
    return policy_gradient(game, log_policy, torch.log_softmax(log_opponent, dim=-1), duels)


def policy_gradient(game: Game, log_policy: Tensor, log_opponent: Tensor, duels: Duels | None) -> Tensor:
    """A loss with the gradient −Σ_y π(y) [q(y) − β log(π/μ)(y)] ∇log π(y), in expectation."""
    log_ratio = (log_policy - game.log_reference).detach()
    if duels is None:
        direction = game.advantage(log_opponent) - game.beta * log_ratio
        return -(log_policy.detach().exp() * direction * log_policy).sum()
    rows, margins = duels.draw(game, log_policy.detach().exp(), log_opponent.exp())
    direction = margins - game.beta * log_ratio.gather(-1, rows)
    return -(direction * log_policy.gather(-1, rows)).sum() / duels.batch


def uniform_ipo(game: Game, log_policy: Tensor, duels: Duels | None, log_opponent: Tensor | None = None) -> Tensor:
    """y uniform, y' from the opponent, the policy itself where none is given.

    Exact: (n/2β) Var_y [β log(π/μ) − q], which is (nβ/4) times the mean over pairs of the IPO loss.
    """
    n, beta, log_opponent = (
        log_policy.shape[-1],
        game.beta,
        log_policy.detach() if log_opponent is None else log_opponent,
    )
    if duels is None:
        difference = beta * (log_policy - game.log_reference) - game.advantage(log_opponent)
        return n / (2 * beta) * difference.var(dim=-1, correction=0).sum()
    rows, margins = duels.draw(game, torch.ones_like(log_opponent), log_opponent.exp())
    log_ratio = (log_policy - game.log_reference).detach()
    direction = margins - beta * log_ratio.gather(-1, rows)
    contrast = log_policy.gather(-1, rows) - log_policy.mean(dim=-1, keepdim=True)
    return -n * (direction * contrast).sum() / duels.batch


def duality_gap(game: Game, log_policy: Tensor) -> Tensor:
    """2β KL(π‖BR_β(π)), `[…]`."""
    log_response = torch.log_softmax(game.log_reference + game.advantage(log_policy) / game.beta, dim=-1)
    return 2 * game.beta * (log_policy.exp() * (log_policy - log_response)).sum(dim=-1)


Loss = Callable[[Game, Tensor, Duels | None], Tensor]


def play(
    loss: Loss, game: Game, policy: nn.Module, step: float, steps: int, duels: Duels | None = None, every: int = 1
) -> list[Tensor]:
    """Train `policy` by plain SGD; the duality gaps before every `every`-th step and after the last."""
    optimiser = torch.optim.SGD(policy.parameters(), lr=step)
    gaps = []
    for t in range(steps):
        if t % every == 0:
            gaps.append(_gap(game, policy))
        optimiser.zero_grad()
        loss(game, policy(), duels).backward()
        optimiser.step()
    return [*gaps, _gap(game, policy)]


def play_extragradient(
    game: Game, policy: nn.Module, step: float, steps: int, duels: Duels | None = None, every: int = 1
) -> list[Tensor]:
    """EGPO: both half steps leave from θ_t, the second against the policy of the first."""
    optimiser = torch.optim.SGD(policy.parameters(), lr=step)
    gaps = []
    for t in range(steps):
        if t % every == 0:
            gaps.append(_gap(game, policy))
        kept = [parameter.detach().clone() for parameter in policy.parameters()]
        optimiser.zero_grad()
        uniform_ipo(game, policy(), duels).backward()
        optimiser.step()
        with torch.no_grad():
            log_half = policy()
            for parameter, value in zip(policy.parameters(), kept, strict=True):
                parameter.copy_(value)
        optimiser.zero_grad()
        uniform_ipo(game, policy(), duels, log_half).backward()
        optimiser.step()
    return [*gaps, _gap(game, policy)]


def _gap(game: Game, policy: nn.Module) -> Tensor:
    with torch.no_grad():
        return duality_gap(game, policy())
