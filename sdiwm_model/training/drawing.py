"""Drawing a picture from the keypoints that were found in it: what makes them precise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.sizes import ModelSize

COARSE = 2  # pixels of the picture in one of the drawing's, each way: as in the encoder's maps
WIDTH = 16  # channels of the hidden layer
SHARPNESS = 20.0  # of the blots from the start: a deviation of about half a pixel


class Drawing(nn.Module):
    """Keypoints -> blots of ink there -> two convolutions -> the grey picture, coarsely.

    It can only draw what moves where a keypoint is, so that what encodes pictures must put
    keypoints on it, to fractions of a pixel (Jakab et al. 2018, section 3). What stands still is a
    bias.
    """

    def __init__(self, size: ModelSize) -> None:
        super().__init__()
        self._edge = size.image_size // COARSE
        self.sharpness = nn.Parameter(torch.full((size.keypoints, 1), SHARPNESS).log())
        self.conv1 = nn.Conv2d(size.keypoints, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, 1, 3, padding=1)
        self.background = nn.Parameter(torch.zeros(self._edge, self._edge))

    def forward(self, features: Tensor) -> Tensor:
        """features (B, 2 * keypoints) in [-1, 1] -> grey pictures (B, edge, edge) in [-1, 1]."""
        axis = torch.linspace(-1.0, 1.0, self._edge)
        off = features.unflatten(-1, (-1, 2, 1)) - axis  # (B, keypoints, 2, edge)
        x, y = torch.exp(-(self.sharpness.exp() * off.transpose(1, 2)).square()).unbind(dim=1)
        blots = (y.unsqueeze(-1) * x.unsqueeze(-2)).contiguous(memory_format=torch.channels_last)
        return self.conv2(functional.relu(self.conv1(blots))).squeeze(1) + self.background


def grey(pictures: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> what `Drawing` is to draw, (B, H / COARSE, W / COARSE)."""
    bright = pictures.float().mean(dim=-1) / 127.5 - 1.0
    return functional.avg_pool2d(bright.unsqueeze(1), COARSE).squeeze(1)
