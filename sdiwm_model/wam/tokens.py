"""What the experts read and write: observations, the future at half resolution, actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.attention import INITIAL_STD
from sdiwm_model.wam.sizes import PATCH, POINT, WamSize


class PerToken(nn.Module):
    """A linear layer of its own for each of several tokens; zero at first where ``zero``."""

    def __init__(self, tokens: int, inward: int, outward: int, zero: bool = False) -> None:
        super().__init__()
        std = 0.0 if zero else inward**-0.5
        self.weight = nn.Parameter(std * torch.randn(tokens, inward, outward))
        self.bias = nn.Parameter((0.0 if zero else INITIAL_STD) * torch.randn(tokens, outward))

    def forward(self, x: Tensor) -> Tensor:
        """(..., tokens, inward) -> (..., tokens, outward)."""
        return torch.einsum("...ni,nio->...no", x, self.weight) + self.bias

    def some(self, x: Tensor, kept: Tensor) -> Tensor:
        """Those tokens alone whose numbers ``kept`` (n,) or (B, n) holds: x (B, n, inward)."""
        return torch.einsum("...ni,...nio->...no", x, self.weight[kept]) + self.bias[kept]


class ObservationTokens(nn.Module):
    """An observation [z | features | proprio] -> a token of two keypoints, one of z and proprio."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        self._parts = size.latent, size.features, size.proprio
        self.points = PerToken(size.features // POINT, POINT, size.video_width)
        self.body = nn.Linear(size.latent + size.proprio, size.video_width)
        self.register_buffer("mean", torch.zeros(size.observation))
        self.register_buffer("std", torch.ones(size.observation))

    def forward(self, o: Tensor) -> Tensor:
        """o (..., O) -> tokens (..., seen_tokens, width), that of z and proprio last."""
        z, features, proprio = self.normalised(o).split(self._parts, dim=-1)
        points = self.points(features.unflatten(-1, (-1, POINT)))
        body = self.body(torch.cat([z, proprio], dim=-1))
        return torch.cat([points, body.unsqueeze(-2)], dim=-2)

    def normalised(self, o: Tensor) -> Tensor:
        """o (..., O) in units of what it is in the data."""
        return (o - self.mean) / self.std


class FutureTokens(nn.Module):
    """The imagined future: F moments, four keypoints a token, as the change from now in units of
    what such a change is in the data.
    """

    scale: Tensor

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        width = size.video_width
        self._shape = size.frames, size.frame_tokens
        self.read = PerToken(size.video_tokens, PATCH, width)
        self.write = PerToken(size.video_tokens, width, PATCH, zero=True)
        self.register_buffer("scale", torch.ones(size.frames, size.features))

    def of(self, now: Tensor, future: Tensor) -> Tensor:
        """Features now (..., E) and later (..., F, E) -> (..., video_tokens, PATCH)."""
        change = (future - now.unsqueeze(-2)) / self.scale
        return change.unflatten(-1, (-1, PATCH)).flatten(-3, -2)

    def features(self, now: Tensor, tokens: Tensor) -> Tensor:
        """What `of` was made from: (..., F, E)."""
        change = tokens.unflatten(-2, self._shape).flatten(-2)
        return now.unsqueeze(-2) + change * self.scale


class Ranker(nn.Module):
    """Which tokens of the future the actions will read most, told by the newest observation.

    It is trained by `distil.ranking_loss` and moves nothing else: its inputs carry no gradient.
    """

    HIDDEN = 64

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        shared = size.heads * size.head_width
        self._pair = PATCH // POINT
        self.point = nn.Linear(self._pair * shared, self.HIDDEN)
        self.goal = nn.Linear(size.conditioning, self.HIDDEN, bias=False)
        self.score = PerToken(size.frame_tokens, self.HIDDEN, size.frames)

    def forward(self, values: Tensor, c: Tensor) -> Tensor:
        """The observation's values in the last layer (B, heads, seen_tokens, head width), c (B, C)
        -> scores (B, video_tokens).
        """
        points = values.detach()[:, :, :-1].transpose(1, 2).flatten(2)
        pairs = points.unflatten(1, (-1, self._pair)).flatten(2)
        hidden = functional.relu(self.point(pairs) + self.goal(c).unsqueeze(1))
        return self.score(hidden).transpose(1, 2).flatten(1)


class ActionTokens(nn.Module):
    """A chunk of actions, a token each model step."""

    def __init__(self, size: WamSize) -> None:
        super().__init__()
        self.read = nn.Linear(size.action, size.action_width)
        self.places = nn.Parameter(torch.randn(size.chunk, size.action_width))
        self.write = nn.Linear(size.action_width, size.action)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def embed(self, x: Tensor) -> Tensor:
        """Actions (..., H, A) -> tokens (..., H, width)."""
        return self.read(x) + self.places
