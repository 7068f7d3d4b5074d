"""What a model of some size takes: counted on the model itself, without its memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from sdiwm_model.sizes import ModelSize
from sdiwm_model.world_model import WorldModel


@dataclass(frozen=True)
class Complexity:
    """parameters: of the whole model; macs_per_frame: of one moment's pictures to a latent."""

    parameters: int
    macs_per_frame: int


def complexity(size: ModelSize) -> Complexity:
    """Count parameters, and the multiply-accumulates of convolutions and matrix products."""
    with torch.device("meta"), torch.no_grad():
        model = WorldModel(size).eval()
        edge, channels = size.image_size, 3 * size.cameras
        image = torch.zeros(1, edge, edge, channels, dtype=torch.uint8)
        with FlopCounterMode(display=False) as counter:
            features = model.vision(image).repeat(1, size.frames)
            model.fusion(features, torch.zeros(1, size.proprio))
    parameters = sum(p.numel() for p in model.parameters())
    return Complexity(parameters, counter.get_total_flops() // 2)
