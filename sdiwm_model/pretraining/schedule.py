"""What the pre-training loop is told, and the learning rate of each update."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdiwm_model.errors import SdiwmError

PRECISIONS = ("float32", "bfloat16")
WARM_UP = 0.05  # share of the updates over which the learning rate rises


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Settings of `loop.pretrain`; those that contradict each other are refused (SdiwmError).

    updates          of the weights
    effective_batch  clips an update is made of, over all ranks and micro-batches
    micro_batch      clips that one rank sees at a time; what memory depends on
    learning_rate    at its highest, after the warm-up; weight_decay of matrices alone
    gradient_limit   norm to which the gradient is cut
    precision        of gathered weights, activations and gradients before they are reduced;
                     the sharded weights, the reduction and the optimiser are float32 always
    recompute        whether each transformer block is computed again in the backward pass
                     instead of being kept
    save_every       updates from one checkpoint to the next; keep: how many stay on disk
    peak_tflops      of one rank's device, for MFU; 0 takes the device's from `metrics`
    """

    updates: int
    effective_batch: int = 512
    micro_batch: int = 8
    learning_rate: float = 6e-4
    weight_decay: float = 0.05
    gradient_limit: float = 1.0
    precision: str = "float32"
    recompute: bool = False
    save_every: int = 500
    keep: int = 2
    peak_tflops: float = 0.0

    def __post_init__(self) -> None:
        for name in ("updates", "effective_batch", "micro_batch", "save_every", "keep"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                _refuse(name, value, "use a whole number of at least 1")
        for name in ("learning_rate", "weight_decay", "gradient_limit", "peak_tflops"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                _refuse(name, value, "use 0 or more")
        if self.precision not in PRECISIONS:
            _refuse("precision", self.precision, f"use one of {', '.join(PRECISIONS)}")
        if self.effective_batch % self.micro_batch:
            _refuse("effective_batch", self.effective_batch, "use a multiple of 'micro_batch'")

    def micro_batches(self, world: int) -> int:
        """Micro-batches of one rank an update; SdiwmError where ``world`` ranks cannot share."""
        if self.effective_batch % (self.micro_batch * world):
            _refuse(
                "effective_batch",
                self.effective_batch,
                f"use a multiple of 'micro_batch' x ranks = {self.micro_batch * world}",
            )
        return self.effective_batch // (self.micro_batch * world)

    def identity(self) -> dict[str, float | str]:
        """What a run that goes on must share with the one that was stopped."""
        names = ("updates", "effective_batch", "micro_batch", "learning_rate", "weight_decay")
        found = {name: getattr(self, name) for name in (*names, "gradient_limit", "precision")}
        return dict(found)

    def rate(self, update: int) -> float:
        """Learning rate of ``update``: a linear warm-up over 5 %, then half a cosine to zero."""
        warm_up = max(1, int(WARM_UP * self.updates))
        if update < warm_up:
            return self.learning_rate * (update + 1) / warm_up
        progress = (update - warm_up) / max(1, self.updates - warm_up)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def _refuse(name: str, value: object, remedy: str) -> None:
    raise SdiwmError(f"pre-training setting '{name}' is {value!r}: {remedy}")
