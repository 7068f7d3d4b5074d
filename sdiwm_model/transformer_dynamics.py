"""The teacher's transition: a causal transformer over a latent and the actions that follow it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.attention import INITIAL_STD, Block
from sdiwm_model.sizes import ModelSize


class TransformerDynamics(nn.Module):
    """Predicts up to ``context`` latents at once, each from the first one and all actions so far.

    Tokens: [z, a_1, ..., a_T], the goal's c added to each. Causal attention; the token of a_k
    predicts z_k = n + u * (z - n), with n = tanh and u = sigmoid of two linear readouts, so that
    |z_k| <= 1 whenever |z| <= 1, as in the GRU.

    A longer rollout goes on from its last prediction, ``context`` steps at a time; training sees
    that too, when its rollouts are longer than the context. One step alone (`forward`) is a
    rollout of length 1. A chain of single steps is therefore the Markov use of the same weights: a
    valid model, but not the numbers of one joint rollout, where later predictions still read the
    first latent.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        width = size.dynamics
        self.context = size.context
        self.latent = nn.Linear(size.latent, width)
        self.action = nn.Linear(size.action, width)
        self.goal = nn.Linear(size.conditioning, width, bias=False)
        self.positions = nn.Parameter(INITIAL_STD * torch.randn(size.context + 1, width))
        self.blocks = nn.Sequential(
            *(Block(width, size.dynamics_heads, causal=True) for _ in range(size.dynamics_depth)),
            nn.LayerNorm(width),
        )
        self.output = nn.Linear(width, 2 * size.latent)
        with torch.no_grad():  # start close to "nothing changes", as the GRU does
            self.output.bias[size.latent :] += 1.0

    def forward(self, z: Tensor, action: Tensor, c: Tensor) -> Tensor:
        """z (B, Z), action (B, A), c (B, C) -> next z (B, Z)."""
        return self._predict(z, action.unsqueeze(1), c).squeeze(1)

    def rollout(self, z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        """Open loop: z (B, Z), actions (B, T, A), c (B, C) -> latents (B, T, Z)."""
        latents = []
        for part in actions.split(self.context, dim=1):
            latents.append(self._predict(z, part, c))
            z = latents[-1][:, -1]
        return torch.cat(latents, dim=1)

    def _predict(self, z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        """The same for at most ``context`` actions."""
        first = z.unsqueeze(1)
        tokens = torch.cat([self.latent(first), self.action(actions)], dim=1)
        tokens = tokens + self.goal(c).unsqueeze(1) + self.positions[: tokens.shape[1]]
        candidate, keep = self.output(self.blocks(tokens)[:, 1:]).chunk(2, dim=-1)
        n, u = torch.tanh(candidate), torch.sigmoid(keep)
        return n + u * (first - n)
