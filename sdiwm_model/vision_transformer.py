"""The teacher's image encoder: a vision transformer over patches.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), with fixed 2-D sine and cosine positions
as in He et al., "Masked Autoencoders Are Scalable Vision Learners" (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.attention import INITIAL_STD, Block
from sdiwm_model.keypoints import pixels
from sdiwm_model.sizes import READERS, ModelSize

SHARPNESS = 10.0  # of the readers from the start: an average of all tokens says too little
LONGEST_WAVE = 10_000.0  # of the position code, Vaswani et al. (2017)


class VisionTransformer(nn.Module):
    """Patch tokens, pre-norm blocks, and readers that pool the tokens by learned attention.

    Every camera passes through the same weights with an embedding of its own.
    """

    positions: Tensor

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        width = size.vit_width
        self.patches = nn.Conv2d(3, width, size.patch, stride=size.patch)
        self.cameras = nn.Parameter(INITIAL_STD * torch.randn(size.cameras, width))
        edge = size.image_size // size.patch
        self.register_buffer("positions", position_code(edge, width), persistent=False)
        self.blocks = nn.Sequential(
            *(Block(width, size.vit_heads) for _ in range(size.vit_depth)), nn.LayerNorm(width)
        )
        self.score = nn.Linear(width, READERS)
        with torch.no_grad():
            self.score.weight *= SHARPNESS
        self.value = nn.Linear(width, size.vit_features)

    def patch_tokens(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3 * cameras) -> tokens before any block (B, cameras, N, W)."""
        cameras = len(self.cameras)
        alone = image.unflatten(-1, (cameras, 3)).movedim(-2, 1).flatten(0, 1)
        kind = self.patches.weight.dtype
        patches = self.patches(pixels(alone).to(kind)).flatten(2).transpose(1, 2)
        where = self.positions.to(kind) + self.cameras.unsqueeze(1)
        return patches.unflatten(0, (-1, cameras)) + where

    def tokens(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3 * cameras) -> patch tokens (B, cameras, N, W)."""
        x = self.patch_tokens(image)
        return self.blocks(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3 * cameras) RGB -> (B, cameras * vit_features) in [-1, 1]."""
        x = self.tokens(image)
        attention = torch.softmax(self.score(x), dim=-2).transpose(-2, -1)
        values = self.value(x).unflatten(-1, (READERS, -1)).transpose(-3, -2)
        read = (attention.unsqueeze(-2) @ values).squeeze(-2)
        return torch.tanh(read).flatten(1)


def position_code(edge: int, width: int) -> Tensor:
    """Sines and cosines of row and column: (edge * edge, width), width a multiple of 4."""
    frequencies = LONGEST_WAVE ** -(torch.arange(width // 4) / (width // 4))
    waves = torch.arange(edge).unsqueeze(1) * frequencies
    axis = torch.cat([waves.sin(), waves.cos()], dim=1)
    rows = axis.unsqueeze(1).expand(edge, edge, -1)
    return torch.cat([rows, rows.transpose(0, 1)], dim=-1).flatten(0, 1)
