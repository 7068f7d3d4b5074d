"""What training really takes: a few updates in a process of their own, on one rank."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdiwm_model.data.stream import ClipBatch
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.distributed import joined
from sdiwm_model.pretraining.loop import optimiser_of
from sdiwm_model.pretraining.objective import LatentPrediction
from sdiwm_model.pretraining.schedule import LoopSettings
from sdiwm_model.pretraining.settings import ObjectiveSettings
from sdiwm_model.pretraining.sharding import shard
from sdiwm_model.pretraining.update import Updater
from sdiwm_model.sizes import ModelSize

UPDATES = 2  # the second has all that the first leaves behind
STEADY = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # so that the C library gives back what is freed


@dataclass(frozen=True)
class Case:
    """What is trained: ``frames`` pictures a clip, ``clips`` a micro-batch, two an update."""

    size: ModelSize
    frames: int
    clips: int
    precision: str
    recompute: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a micro-batch (B, T, H, W, 3)."""
        return (self.clips, self.frames, self.size.image_size, self.size.image_size, 3)

    def objective(self) -> LatentPrediction:
        """With the predictor's usual size."""
        return LatentPrediction(self.size, ObjectiveSettings(), self.frames, 1, UPDATES)


def measure(case: Case) -> int:
    """Bytes that two updates added to a new process, on its CUDA device or else in main memory.

    Raises:
        SdiwmError: the process failed, for instance for want of memory.
    """
    told = {name: value for name, value in vars(case).items() if name != "size"}
    told["size"] = case.size.to_dict()
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(told)],
        env=os.environ | STEADY,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SdiwmError(f"memory could not be measured ({reason}); choose a smaller size")
    return int(done.stdout.splitlines()[-1])


def measure_here(case: Case) -> int:
    """The same in this process, which must be new."""
    settings = LoopSettings(
        updates=UPDATES,
        effective_batch=2 * case.clips,
        micro_batch=case.clips,
        precision=case.precision,
        recompute=case.recompute,
    )
    with joined() as team:
        before = _resident("VmRSS")
        objective = case.objective()
        shard(objective, team, settings.precision, settings.recompute)
        optimiser = optimiser_of(objective.modules(), settings)
        updater = Updater(team, objective, optimiser, settings, 0, 2)
        batches = _noise(case.shape)
        for update in range(UPDATES):
            updater.update(update, batches)
        if team.device.type == "cuda":
            return torch.cuda.max_memory_allocated(team.device)
        return _resident("VmHWM") - before


def _noise(shape: tuple[int, ...]) -> Iterator[ClipBatch]:
    rng = np.random.default_rng(0)
    nowhere = np.zeros(shape[0], np.int64)
    while True:
        yield ClipBatch(rng.integers(0, 255, shape, dtype=np.uint8), {}, nowhere, nowhere)


def _resident(name: str) -> int:
    """Bytes of this process in main memory: VmRSS now, VmHWM at most (Linux alone tells)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SdiwmError("this system does not tell how much memory a process has; use Linux")


if __name__ == "__main__":
    content = json.loads(sys.argv[1])
    sizes: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content.pop("size").items()
    }
    torch.set_num_threads(1)
    print(measure_here(Case(ModelSize(**sizes), **content)))
