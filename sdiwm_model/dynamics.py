"""The latent transition z' = f(z, a, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.lipschitz import LipschitzConstraint
from sdiwm_model.sizes import ModelSize


class Dynamics(nn.Module):
    """A GRU whose hidden state is the latent itself, so that |z'| <= 1 whenever |z| <= 1.

    Written from Linear layers, since quantisers skip nn.GRUCell. Gates in the order r, u, n; the
    update is that of Cho et al. (2014) as PyTorch has it: z' = (1 - u) * n + u * z.

    A size with a Lipschitz bound constrains the weights, never this formula, so whatever runs the
    dynamics runs constrained ones too. They keep the bound from the start, and in training as long
    as every update lies between `constrain_gradients` and `project`.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self.input = nn.Linear(size.latent + size.action + size.conditioning, size.dynamics)
        self.gru_input = nn.Linear(size.dynamics, 3 * size.latent)
        self.gru_hidden = nn.Linear(size.latent, 3 * size.latent)
        with torch.no_grad():  # start close to "nothing changes": most of a scene stands still
            self.gru_input.bias[size.latent : 2 * size.latent] += 1.0
        self._constraint = (
            LipschitzConstraint(size.lipschitz, self.input, self.gru_input, self.gru_hidden)
            if size.lipschitz
            else None
        )
        self.project()

    def forward(self, z: Tensor, action: Tensor, c: Tensor) -> Tensor:
        """z (..., Z), action (..., A), c (..., C) -> next z (..., Z)."""
        x = functional.relu(self.input(torch.cat([z, action, c], dim=-1)))
        input_r, input_u, input_n = self.gru_input(x).chunk(3, dim=-1)
        hidden_r, hidden_u, hidden_n = self.gru_hidden(z).chunk(3, dim=-1)
        r = torch.sigmoid(input_r + hidden_r)
        u = torch.sigmoid(input_u + hidden_u)
        n = torch.tanh(input_n + r * hidden_n)
        return n + u * (z - n)

    def project(self) -> None:
        """Make weights from anywhere keep the bound: call after every update."""
        if self._constraint is not None:
            self._constraint.project()

    def constrain_gradients(self) -> None:
        """Take out of the gradients what `project` would undo: call before every update."""
        if self._constraint is not None and self.gru_hidden.weight.grad is not None:
            self._constraint.constrain_gradients()
