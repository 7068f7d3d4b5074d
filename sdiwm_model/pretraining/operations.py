"""How many floating-point operations training needs, counted without computing any."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from sdiwm_model.pretraining.protocols import Objective


def training_flops(make: Callable[[], Objective], shape: tuple[int, ...]) -> int:
    """Operations of a forward and a backward pass on clips of ``shape`` (B, T, H, W, 3).

    Matrix products, convolutions and attention; two operations each multiply-add. Nothing is
    computed twice, so the figure is that of MFU (Chowdhery et al., "PaLM" (2022), appendix B).
    """
    with torch.device("meta"):
        objective = make()
        clips = torch.empty(shape, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        loss = objective.loss({"image": clips}, 0, torch.Generator().manual_seed(0))
        loss.total.backward()
    return counter.get_total_flops()
