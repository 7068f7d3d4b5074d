"""A MobileNetV3-style image encoder: depthwise convolutions in place of dense ones.

Howard et al., "Searching for MobileNetV3" (2019): inverted residuals, squeeze-and-excite, hard
swish. There is no batch normalisation: statistics of a batch would differ between training, feature
caching and the robot. Instead the last convolution of every residual branch starts at zero (Zhang
et al., "Fixup Initialization", 2019), which leaves nothing to fold when weights become int8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.keypoints import SHARPNESS, coordinates, pixels, spatial_softmax
from sdiwm_model.sizes import ModelSize

EXPANSION = 4
SQUEEZE = 4
ACTIVE = 0.5  # initial bias of the squeezed units: one that no picture turns on would never learn


class SqueezeExcite(nn.Module):
    """Channels scaled by what the whole map holds (Hu et al. 2018), with a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.excite = nn.Conv2d(channels // SQUEEZE, channels, 1)
        nn.init.constant_(self.squeeze.bias, ACTIVE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> the same shape."""
        scale = functional.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.excite(scale))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel alone, squeeze and excite, narrow; plus the input if alike.

    Without `excite` no place sees more than its window, so that a microcontroller can run it patch
    by patch.
    """

    def __init__(
        self,
        inward: int,
        outward: int,
        expansion: int = 1,
        kernel: int = 3,
        stride: int = 1,
        excite: bool = True,
    ) -> None:
        super().__init__()
        width = expansion * inward
        self.expand = nn.Conv2d(inward, width, 1)
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width)
        self.excite = SqueezeExcite(width) if excite else nn.Identity()
        self.project = nn.Conv2d(width, outward, 1)
        self.residual = stride == 1 and inward == outward
        if self.residual:
            for parameter in self.project.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, inward, h, w) -> (B, outward, h / stride, w / stride)."""
        y = functional.hardswish(self.expand(x))
        y = functional.hardswish(self.depthwise(y))
        y = self.project(self.excite(y))
        return x + y if self.residual else y


class MobileNetEncoder(nn.Module):
    """A stem, one block at half resolution, three at a quarter, and a spatial softmax."""

    grid: Tensor

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        stem, trunk = size.channels
        self.stem = nn.Conv2d(3, stem, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            InvertedResidual(stem, stem),
            InvertedResidual(stem, trunk, EXPANSION, stride=2),
            InvertedResidual(trunk, trunk, EXPANSION, kernel=5),
            InvertedResidual(trunk, trunk, EXPANSION, kernel=5),
        )
        self.maps = nn.Conv2d(trunk, size.keypoints, 1)
        with torch.no_grad():
            self.maps.weight *= SHARPNESS
        self.register_buffer("grid", coordinates(size.image_size // 4), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, H, W, 3) RGB -> features float32 (B, 2 * keypoints) in [-1, 1]."""
        x = functional.hardswish(self.stem(pixels(image)))
        return spatial_softmax(self.maps(self.blocks(x)), self.grid)
