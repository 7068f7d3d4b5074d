"""Unstructured pruning: zeros in place of small weights, as a reference for structured pruning.

Masks bring no speed: dense hardware multiplies by a zero as slowly as by any other number. Nothing
here is a step on the way to a robot.
"""

from __future__ import annotations

import copy

import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.world_model import WorldModel


@torch.no_grad()
def mask_smallest(model: WorldModel, share: float) -> WorldModel:
    """A copy in whose every layer the ``share`` of the weights that are smallest is 0.

    Magnitude pruning (Han et al. 2015), layer by layer. Biases and the language module, which runs
    once per instruction, stay.

    Raises:
        SdiwmError: ``share`` is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise SdiwmError(f"the share of masked weights is {share}: use 0 to 1")
    masked = copy.deepcopy(model)
    for name, weight in masked.named_parameters():
        if weight.ndim > 1 and not name.startswith("language."):
            flat = weight.view(-1)
            smallest = flat.abs().argsort(stable=True)[: round(share * len(flat))]
            flat[smallest] = 0.0
    return masked
