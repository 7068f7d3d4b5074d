"""What the newest observation and the goal alone say of a chunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.wam.sizes import WamSize


class Anchor(nn.Module):
    """Newest observation and goal -> the chunk that the action expert starts to correct.

    The goal is a gain and a shift of what is seen (FiLM, Perez et al. 2018): where all targets are
    becomes where the named one is.
    """

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        width = size.anchor_width
        self._shape = size.chunk, size.action
        self.seen = nn.Linear(size.observation, width)
        self.gain = nn.Linear(size.conditioning, width)
        self.shift = nn.Linear(size.conditioning, width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.output = nn.Linear(width, size.chunk * size.action)

    def forward(self, seen: Tensor, c: Tensor) -> Tensor:
        """The newest observation, normalised, (B, O), and c (B, C) -> actions (B, H, A)."""
        with torch.autocast(seen.device.type, enabled=False):  # bfloat16 has 8 bits for an action
            x = functional.silu(self.seen(seen)) * (1.0 + self.gain(c)) + self.shift(c)
            x = functional.silu(self.second(functional.silu(self.first(x))))
            return self.output(x).unflatten(-1, self._shape)
