"""One update of the weights, from its micro-batches to its figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from sdiwm_model.data.stream import ClipBatch
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.distributed import Team
from sdiwm_model.pretraining.metrics import memory_peak_gb
from sdiwm_model.pretraining.protocols import Batch, Objective
from sdiwm_model.pretraining.schedule import LoopSettings

Counter = Callable[[tuple[int, ...]], int]  # operations of a micro-batch of clips of that shape


class Updater:
    """Updates an objective that is sharded over ``team``.

    micro_batches: that this rank computes of each update.
    """

    def __init__(
        self,
        team: Team,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        settings: LoopSettings,
        seed: int,
        micro_batches: int,
    ) -> None:
        self.team, self.objective, self.optimiser = team, objective, optimiser
        self.settings = settings
        self._seed, self._micro_batches = seed, micro_batches
        self._peak: float | None = None
        self._counter: Counter | None = None
        self._flops = 0

    def compare_with(self, peak_tflops: float, counter: Counter) -> None:
        """Report utilisation: what ``counter`` says is needed, of what the device can do."""
        self._peak, self._counter = peak_tflops, counter

    def update(self, update: int, batches: Iterator[ClipBatch]) -> dict[str, Any]:
        """One update; its figures, the same on all ranks, as `how-to/train-at-scale` explains.

        Raises:
            SdiwmError: the loss or its gradient is no number; the weights are as they were.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(update)
        self.optimiser.zero_grad()
        begin, waited, frames = time.perf_counter(), 0.0, 0
        parts: dict[str, Tensor] = {}
        for number in range(self._micro_batches):
            asked = time.perf_counter()
            batch = on_device(next(batches), self.team.device)
            waited += time.perf_counter() - asked
            frames += batch["image"].shape[:2].numel()
            self._count_operations(batch)
            for name, part in self._micro_batch(update, number, batch).items():
                parts[name] = parts.get(name, 0.0) + part / self._micro_batches
        means = self.team.mean([part.item() for part in parts.values()])
        figures: dict[str, Any] = dict(zip(parts, means, strict=True))
        figures["gradient_norm"] = self._cut_gradient()
        self._check_finite(update, figures)
        self.optimiser.step()
        self.objective.after_update(update)
        figures["learning_rate"] = self.settings.rate(update)
        return figures | self._speed(time.perf_counter() - begin, waited, frames)

    def _micro_batch(self, update: int, number: int, batch: Batch) -> dict[str, Tensor]:
        """Add a micro-batch's share to the gradient; its loss and the parts of it."""
        place = number * self.team.world + self.team.rank
        generator, both = self._generators(update, place)
        torch.manual_seed(both)
        loss = self.objective.loss(batch, update, generator)
        (loss.total / self._micro_batches).backward()
        return {"loss": loss.total.detach()} | {k: v.detach() for k, v in loss.parts.items()}

    def _generators(self, update: int, place: int) -> tuple[torch.Generator, int]:
        """The generator of the micro-batch at ``place``, and a seed for what modules draw."""
        words = np.random.SeedSequence([self._seed, update, place]).generate_state(2, np.uint64)
        first, second = (int(word >> np.uint64(1)) for word in words)
        return torch.Generator().manual_seed(first), second

    def _cut_gradient(self) -> float:
        parameters = self.objective.modules().parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.gradient_limit)
        return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()

    def _check_finite(self, update: int, figures: dict[str, Any]) -> None:
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(figures[name]):
                raise SdiwmError(
                    f"the {name} became {figures[name]} at update {update}; the last checkpoint "
                    "holds good weights; start again with another --out and a lower learning_rate"
                )

    def _count_operations(self, batch: Batch) -> None:
        if self._counter is not None and not self._flops:
            self._flops = self._counter(tuple(batch["image"].shape))

    def _speed(self, seconds: float, waited: float, frames: int) -> dict[str, float | None]:
        """Throughput of all ranks; time, wait and memory of the rank that has most of each."""
        worst = self.team.largest([seconds, waited / seconds, memory_peak_gb(self.team.device)])
        slowest, wait, memory = worst
        done = self._flops * self._micro_batches
        return {
            "seconds": slowest,
            "frames_per_second": frames * self.team.world / slowest,
            "wait_fraction": wait,
            "memory_peak_gb": memory,
            "mfu": None if self._peak is None else done / slowest / (self._peak * 1e12),
        }


def on_device(batch: ClipBatch, device: torch.device) -> dict[str, Tensor]:
    """A loader's batch as an objective takes it: `image` and the robot's columns."""
    arrays = {"image": batch.frames, **batch.columns}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cuda":
        return {k: v.pin_memory().to(device, non_blocking=True) for k, v in tensors.items()}
    return tensors
