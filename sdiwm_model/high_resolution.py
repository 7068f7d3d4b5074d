"""An encoder of 224 x 224 pictures for microcontrollers with 64 KB of free memory.

A MobileNetV3-style trunk whose early blocks look at windows alone: layer by layer it would need a
megabyte, patch by patch (`sdiwm export cpp`) a fourteenth of that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.keypoints import SHARPNESS, coordinates, pixels, spatial_softmax
from sdiwm_model.mobilenet import InvertedResidual

IMAGE_SIZE = 224
STEM = 16
# inward, outward, expansion, kernel, stride, squeeze and excite
BLOCKS = (
    (STEM, 24, 4, 3, 2, False),
    (24, 24, 3, 3, 1, False),
    (24, 32, 3, 3, 2, False),
    (32, 32, 3, 3, 1, False),
    (32, 48, 4, 5, 2, False),
    (48, 48, 4, 5, 1, True),
)
STRIDE = 16  # of the maps, in pixels


class HighResolutionEncoder(nn.Module):
    """A stem, six inverted residuals down to 14 x 14 places, and a spatial softmax."""

    grid: Tensor

    def __init__(self, keypoints: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(InvertedResidual(*block) for block in BLOCKS))
        self.maps = nn.Conv2d(BLOCKS[-1][1], keypoints, 1)
        with torch.no_grad():
            self.maps.weight *= SHARPNESS
        self.register_buffer("grid", coordinates(IMAGE_SIZE // STRIDE), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """image uint8 (B, 224, 224, 3) RGB -> features float32 (B, 2 * keypoints) in [-1, 1]."""
        x = functional.hardswish(self.stem(pixels(image)))
        return spatial_softmax(self.maps(self.blocks(x)), self.grid)
