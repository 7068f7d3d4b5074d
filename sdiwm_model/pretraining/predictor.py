"""What guesses the tokens that are not seen from those that are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.attention import INITIAL_STD, Block
from sdiwm_model.pretraining.tokens import take
from sdiwm_model.vision_transformer import LONGEST_WAVE, position_code


class Predictor(nn.Module):
    """A narrow transformer over the tokens of a clip and over questions for others.

    Bardes et al., "V-JEPA" (2024), section 3.2. It is thrown away after pre-training; narrower than
    the encoder, so that the encoder has to do the work.

    Args:
        token: width of the encoder's tokens.
        width, depth, heads: of the transformer; width a multiple of 8 and of the heads.
        frames, edge: pictures of a clip; places along one edge of each.
    """

    places: Tensor

    def __init__(
        self, token: int, width: int, depth: int, heads: int, frames: int, edge: int
    ) -> None:
        super().__init__()
        self.read = nn.Linear(token, width)
        self.question = nn.Parameter(INITIAL_STD * torch.randn(width))
        self.blocks = nn.Sequential(
            *(Block(width, heads) for _ in range(depth)), nn.LayerNorm(width)
        )
        self.write = nn.Linear(width, token)
        self.register_buffer("places", clip_code(frames, edge, width), persistent=False)

    def forward(self, tokens: Tensor, at: Tensor, asked: Tensor) -> Tensor:
        """Guess the tokens at the places ``asked``.

        Args:
            tokens: (B, n, token), those at the places ``at`` (B, n).
            asked: (B, m); places count through the first picture of the clip, then the next.

        Returns:
            (B, m, token).
        """
        known = self.read(tokens)
        where = self.places.to(known.dtype).expand(len(at), -1, -1)
        unknown = self.question.to(known.dtype) + take(where, asked)
        x = self.blocks(torch.cat([known + take(where, at), unknown], dim=1))
        return self.write(x[:, at.shape[1] :])


def clip_code(frames: int, edge: int, width: int) -> Tensor:
    """Sines and cosines of time, row and column: (frames * edge * edge, width)."""
    half = width // 2
    frequencies = LONGEST_WAVE ** -(torch.arange(half // 2) / (half // 2))
    waves = torch.arange(frames).unsqueeze(1) * frequencies
    time = torch.cat([waves.sin(), waves.cos()], dim=1)
    space = position_code(edge, half)
    parts = [time.unsqueeze(1).expand(-1, len(space), -1), space.expand(frames, -1, -1)]
    return torch.cat(parts, dim=-1).flatten(0, 1)
