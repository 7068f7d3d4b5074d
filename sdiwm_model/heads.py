"""What a planner reads from a latent: the cost of being there, the cost to go, what to try."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.sizes import ModelSize

PLACE = 4  # coordinates of a place: three of space, and room for more


class FilmHead(nn.Module):
    """Numbers from a latent and a goal.

    The conditioning acts as a gain and a shift on the hidden units (FiLM, Perez et al. 2018), so
    that per instruction it costs nothing in a rollout.
    """

    def __init__(self, size: ModelSize, hidden: int, outputs: int) -> None:
        super().__init__()
        self.input = nn.Linear(size.latent, hidden, bias=False)
        self.gain = nn.Linear(size.conditioning, hidden)
        self.shift = nn.Linear(size.conditioning, hidden)
        self.output = nn.Linear(hidden, outputs)

    def all(self, z: Tensor, c: Tensor) -> Tensor:
        """z (..., Z), c (..., C) -> (..., outputs)."""
        hidden = functional.relu(torch.sigmoid(self.gain(c)) * self.input(z) + self.shift(c))
        return self.output(hidden)


class GoalHead(FilmHead):
    """One number from a latent and a goal, or an ensemble of estimates of it.

    Each of the ``estimates`` reads hidden units of its own, so that where there was no data they
    disagree; their mean is still one linear readout of all hidden units.
    """

    def __init__(self, size: ModelSize, estimates: int = 1) -> None:
        super().__init__(size, size.head, estimates)
        blocks = torch.eye(estimates).repeat_interleave(size.head // estimates, dim=1)
        with torch.no_grad():
            self.output.weight.mul_(blocks)
        if estimates > 1:
            self.output.weight.register_hook(lambda gradient: gradient * blocks)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (..., Z), c (..., C) -> the mean of the estimates, (...)."""
        return self.all(z, c).mean(dim=-1)


class PriorHead(FilmHead):
    """The action sequence that a planner would choose: a guess to start the search from."""

    def __init__(self, size: ModelSize) -> None:
        super().__init__(size, size.prior, size.plan_horizon * size.action)
        self._shape = size.plan_horizon, size.action

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (..., Z), c (..., C) -> actions (..., H, A) in [-1, 1]."""
        return torch.tanh(self.all(z, c)).unflatten(-1, self._shape)


class GoalPicture(nn.Sequential):
    """Image features of the goal (..., E) -> its conditioning c (..., C), |c| < 1."""

    HIDDEN = 128

    def __init__(self, size: ModelSize) -> None:
        super().__init__(
            nn.Linear(size.features, self.HIDDEN),
            nn.ReLU(),
            nn.Linear(self.HIDDEN, size.conditioning),
            nn.Tanh(),
        )


class Places(nn.Sequential):
    """Image features (..., E) -> each goal's place (..., G * PLACE): see `losses.places_loss`."""

    HIDDEN = 128

    def __init__(self, size: ModelSize) -> None:
        super().__init__(
            nn.Linear(size.features, self.HIDDEN),
            nn.ReLU(),
            nn.Linear(self.HIDDEN, size.goals * PLACE),
        )


class Probe(nn.Sequential):
    """A latent (..., Z) -> the privileged state (..., S)."""

    HIDDEN = 128

    def __init__(self, size: ModelSize) -> None:
        super().__init__(
            nn.Linear(size.latent, self.HIDDEN),
            nn.ReLU(),
            nn.Linear(self.HIDDEN, size.state),
        )

    @torch.no_grad()
    def scale(self, mean: Tensor, std: Tensor) -> None:
        """Turn an estimate of the normalised state into one in SI units; mean, std (S,)."""
        last = self.get_submodule("2")
        for parameter in last.parameters():
            parameter.mul_(std if parameter.ndim == 1 else std.unsqueeze(1))
        last.get_parameter("bias").add_(mean)
