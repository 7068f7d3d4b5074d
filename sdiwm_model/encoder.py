"""From a picture and the joints to a latent.

The image branch runs at the camera's rate; the fusion network is tiny and runs at every tick with
the newest feature and the newest joint state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.keypoints import KeypointEncoder
from sdiwm_model.mobilenet import MobileNetEncoder
from sdiwm_model.sizes import ModelSize
from sdiwm_model.vision_transformer import VisionTransformer


class Cameras(nn.ModuleList):
    """An encoder of its own for each of several cameras."""

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3 * cameras) -> features (B, cameras * E), camera after camera."""
        pictures = image.split(3, dim=-1)
        return torch.cat([e(p) for e, p in zip(self, pictures, strict=True)], dim=1)


def image_encoder(size: ModelSize) -> nn.Module:
    """What makes image uint8 (B, H, W, 3 * cameras) RGB into features (B, E) in [-1, 1]."""
    if size.encoder == "vit":
        return VisionTransformer(size)
    kind = KeypointEncoder if size.encoder == "keypoints" else MobileNetEncoder
    if size.cameras == 1:
        return kind(size)
    return Cameras(kind(size) for _ in range(size.cameras))


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
