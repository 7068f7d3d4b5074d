"""The smallest image encoder: two convolutions and a spatial softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.sizes import ModelSize

SHARPNESS = 100.0  # of the maps from the start: flat attention has no gradient to speak of


def pixels(image: Tensor) -> Tensor:
    """image uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1], channels last in memory."""
    return image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def coordinates(edge: int) -> Tensor:
    """x and y of every place of an ``edge`` x ``edge`` map, (edge * edge, 2), in [-1, 1]."""
    axis = torch.linspace(-1.0, 1.0, edge)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).reshape(edge * edge, 2)


def spatial_softmax(maps: Tensor, grid: Tensor) -> Tensor:
    """Where each map is active: maps (B, K, h, w), grid (h * w, 2) -> (B, 2 K) in [-1, 1].

    Finn et al., "Deep Spatial Autoencoders for Visuomotor Learning" (2016), eq. 2.
    """
    return (torch.softmax(maps.flatten(2), dim=-1) @ grid).flatten(1)


class KeypointEncoder(nn.Module):
    """Two convolutions and a spatial softmax: a picture becomes keypoint coordinates."""

    grid: Tensor

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        first, second = size.channels
        self.conv1 = nn.Conv2d(3, first, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.maps = nn.Conv2d(second, size.keypoints, 1)
        with torch.no_grad():
            self.maps.weight *= SHARPNESS
        self.register_buffer("grid", coordinates(size.image_size // 2), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3) RGB -> features float32 (B, 2 * keypoints) in [-1, 1]."""
        x = functional.relu(self.conv1(pixels(image)))
        x = functional.relu(self.conv2(x))
        return spatial_softmax(self.maps(x), self.grid)
