"""From a picture and the joints to a latent.

The image branch runs at the camera's rate; the fusion network is tiny and runs at every tick with
the newest feature and the newest joint state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.sizes import ModelSize


class ImageEncoder(nn.Module):
    """Two convolutions and a spatial softmax: a picture becomes keypoint coordinates.

    Spatial softmax: Finn et al., "Deep Spatial Autoencoders for Visuomotor Learning" (2016), eq. 2.
    """

    grid: Tensor

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        first, second = size.channels
        self.conv1 = nn.Conv2d(3, first, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.maps = nn.Conv2d(second, size.keypoints, 1)
        with torch.no_grad():  # peaked from the start: flat attention has no gradient to speak of
            self.maps.weight *= 100.0
        edge = size.image_size // 2
        axis = torch.linspace(-1.0, 1.0, edge)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid.reshape(edge * edge, 2), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3) RGB -> features float32 (B, 2 * keypoints) in [-1, 1]."""
        x = image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0  # channels last in memory
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        attention = torch.softmax(self.maps(x).flatten(2), dim=-1)
        return (attention @ self.grid).flatten(1)


class Fusion(nn.ModuleList):
    """Image feature and proprioception -> latent, three fully connected layers."""

    proprio_mean: Tensor
    proprio_std: Tensor

    def __init__(self, size: ModelSize) -> None:
        widths = (size.frames * size.features + size.proprio, *size.fusion, size.latent)
        super().__init__(
            nn.Linear(inward, outward)
            for inward, outward in zip(widths[:-1], widths[1:], strict=True)
        )
        self.register_buffer("proprio_mean", torch.zeros(size.proprio))
        self.register_buffer("proprio_std", torch.ones(size.proprio))

    def normalise(self, proprio: Tensor) -> Tensor:
        """Proprioception in units of the training data's standard deviation, (..., P)."""
        return (proprio - self.proprio_mean) / self.proprio_std

    def before_tanh(self, features: Tensor, proprio: Tensor) -> Tensor:
        """features (..., frames * E), proprio (..., P) -> the latent before tanh, (..., Z)."""
        x = torch.cat([features, self.normalise(proprio)], dim=-1)
        for layer in list(self)[:-1]:
            x = functional.relu(layer(x))
        return self[-1](x)

    def forward(self, features: Tensor, proprio: Tensor) -> Tensor:
        """features (..., frames * E), proprio (..., P) in SI units -> z (..., Z), |z| < 1."""
        return torch.tanh(self.before_tanh(features, proprio))
