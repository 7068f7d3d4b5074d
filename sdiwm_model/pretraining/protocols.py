"""What the pre-training loop asks of the thing that is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sdiwm_model.training.stages import Loss

__all__ = ["Batch", "Loss", "Objective"]

Batch = Mapping[str, Tensor]  # "image": clips, uint8 (B, T, H, W, 3); other columns by their names


@runtime_checkable
class Objective(Protocol):
    """A loss on clips, and the networks that it trains.

    The loop shards every entry of `modules` and of `targets` over the ranks, so an entry is used
    through its own `forward` alone: no other method and no parameter of it is touched from outside
    while a loss is computed. Transformer blocks that are `attention.Block` are sharded and
    recomputed one by one.

    The loss is a mean over the clips of the micro-batch, its shapes depend on the shapes of the
    batch alone, and all it draws comes from ``generator``, which lives on the CPU: draw there, then
    move to the batch's device. Then it also runs on the meta device, where its memory and its
    floating-point operations are counted, and gives the same on one rank as on many.
    """

    def modules(self) -> nn.ModuleDict:
        """What is trained."""

    def targets(self) -> nn.ModuleDict:
        """Copies that `after_update` moves and no optimiser does; empty where there are none."""

    def loss(self, batch: Batch, step: int, generator: torch.Generator) -> Loss:
        """The loss of one micro-batch of update ``step``; its total and parts are scalars."""

    def after_update(self, step: int) -> None:
        """Move the targets after update ``step``, in place and element by element.

        Parameters are then the rank's shards: of a target and of what it follows they fit each
        other, and nothing may be read that mixes elements.
        """
