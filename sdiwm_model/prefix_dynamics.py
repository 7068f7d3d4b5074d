"""Latents after every prefix of an action sequence, all in one pass instead of step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.sizes import ModelSize

HIDDEN = 128  # of what is computed once per latent, whatever the number of candidates


class PrefixDynamics(nn.Module):
    """z and a_1..a_H -> z_1..z_H, each z_k from z and its prefix a_1..a_k alone.

    Action-prefix prediction as in Fast LeWorldModel (Gao and Xu, 2026), with a causal linear map
    over the actions in place of their transformer: for 16 actions that is one product of matrices
    for all candidates and steps, and what z and c add to it is computed once a plan. The readout is
    that of the other dynamics, z_k = n + u * (z - n), so that |z_k| <= 1 whenever |z| <= 1.

    Args:
        size: of the world model whose rollouts it stands in for.
        horizon: H, the model steps that it predicts.
        width: hidden units of each step; default those of the GRU's input layer.
    """

    causal: Tensor

    def __init__(self, size: ModelSize, horizon: int, width: int | None = None) -> None:
        super().__init__()
        width = width or size.dynamics
        self.horizon, self._action = horizon, size.action
        self.start = nn.Sequential(
            nn.Linear(size.latent + size.conditioning, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width)
        )
        self.positions = nn.Parameter(torch.zeros(horizon, width))
        inputs, outputs = horizon * size.action, horizon * width
        self.mix = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        of_input = torch.arange(horizon).repeat_interleave(size.action)
        of_output = torch.arange(horizon).repeat_interleave(width)
        causal = of_input[:, None] <= of_output[None, :]
        self.register_buffer("causal", causal.float(), persistent=False)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, 2 * size.latent)
        with torch.no_grad():  # start close to "nothing changes", as the GRU does
            self.output.bias[size.latent :] += 1.0

    def forward(self, z: Tensor, actions: Tensor, c: Tensor) -> Tensor:
        """z (B, Z), actions (B, H, A), c (B, C) -> (B, H, Z); a z and c of one row serve all B."""
        moved = actions.flatten(1) @ (self.mix * self.causal)
        start = self.start(torch.cat([z, c], dim=-1)).unsqueeze(1)
        x = torch.relu(moved.unflatten(1, (self.horizon, -1)) + start + self.positions)
        candidate, keep = self.output(torch.relu(self.hidden(x))).chunk(2, dim=-1)
        n, u = torch.tanh(candidate), torch.sigmoid(keep)
        return n + u * (z.unsqueeze(1) - n)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one candidate's H latents, what is shared by all left out."""
        width = self.hidden.out_features
        each = width * width + width * self.output.out_features
        return self.mix.numel() + self.horizon * each


def jacobi_rollout(step: nn.Module, z: Tensor, actions: Tensor, c: Tensor, sweeps: int) -> Tensor:
    """Solve the whole rollout for its fixed point: all steps at once, ``sweeps`` times.

    z (B, Z), actions (B, H, A), c (B, C) -> (B, H, Z). Sweep i makes the first i latents exact, so
    H sweeps give the sequential rollout; fewer are enough as far as the dynamics forgets (Song et
    al., 2021). The first guess is that nothing moves.
    """
    steps = actions.shape[1]
    latents = z.unsqueeze(1).expand(-1, steps, -1)
    goals = c.unsqueeze(1).expand(-1, steps, -1)
    for _ in range(sweeps):
        latents = step(torch.cat([z.unsqueeze(1), latents[:, :-1]], dim=1), actions, goals)
    return latents
