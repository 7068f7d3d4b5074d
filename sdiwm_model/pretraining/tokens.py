"""The repository's image encoders as makers of tokens, from pictures of which parts are hidden.

Both kinds are called alike: pictures (N, H, W, 3) and the indices of the places that are seen
(N, seen), or None for all of them, become tokens (N, tokens, width).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdiwm_model.encoder import image_encoder
from sdiwm_model.sizes import ModelSize
from sdiwm_model.vision_transformer import VisionTransformer

CELL = 8  # pixels of the places that are hidden from a convolutional encoder
GREY = 128  # what stands there instead


class PatchTokens(nn.Module):
    """A vision transformer: a token for each patch that is seen; hidden ones are not computed."""

    def __init__(self, image: VisionTransformer) -> None:
        super().__init__()
        self.image = image

    def forward(self, pictures: Tensor, seen: Tensor | None = None) -> Tensor:
        """Pictures uint8 (N, H, W, 3) -> tokens (N, seen, vit_width)."""
        patches = self.image.patch_tokens(pictures).squeeze(1)
        return self.image.blocks(patches if seen is None else take(patches, seen))


class PictureTokens(nn.Module):
    """A convolutional encoder: its image feature is one token; hidden places are painted grey."""

    def __init__(self, image: nn.Module, edge: int) -> None:
        super().__init__()
        self.image, self._edge = image, edge

    def forward(self, pictures: Tensor, seen: Tensor | None = None) -> Tensor:
        """Pictures uint8 (N, H, W, 3) -> tokens (N, 1, features)."""
        if seen is not None:
            edge = self._edge
            shown = pictures.new_zeros(len(seen), edge * edge).scatter(1, seen, 1)
            shown = shown.view(-1, edge, 1, edge, 1, 1)
            cells = pictures.unflatten(1, (edge, -1)).unflatten(3, (edge, -1))
            pictures = torch.where(shown > 0, cells, GREY).flatten(3, 4).flatten(1, 2)
        return self.image(pictures).unsqueeze(1).clone()  # FSDP's hooks warn of a view


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens (B, N, W) at ``index`` (B, n): (B, n, W)."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def grid_edge(size: ModelSize) -> int:
    """Places that are hidden or seen, along one edge of the picture."""
    return size.image_size // (size.patch if size.encoder == "vit" else CELL)


def token_maker(size: ModelSize) -> PatchTokens | PictureTokens:
    """A new encoder of one camera's pictures."""
    image = image_encoder(size)
    if isinstance(image, VisionTransformer):
        return PatchTokens(image)
    return PictureTokens(image, grid_edge(size))
