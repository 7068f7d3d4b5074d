"""What a planner reads from a latent: the cost of being there, and the cost to go."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.sizes import ModelSize


class GoalHead(nn.Module):
    """One number from a latent and a goal.

    The conditioning acts as a gain and a shift on the hidden units (FiLM, Perez et al. 2018), so
    that per instruction it costs nothing in a rollout.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.input = nn.Linear(size.latent, size.head, bias=False)
        self.gain = nn.Linear(size.conditioning, size.head)
        self.shift = nn.Linear(size.conditioning, size.head)
        self.output = nn.Linear(size.head, 1)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (..., Z), c (..., C) -> (...)."""
        hidden = functional.relu(torch.sigmoid(self.gain(c)) * self.input(z) + self.shift(c))
        return self.output(hidden).squeeze(-1)
