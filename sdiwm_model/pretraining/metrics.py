"""What a run says of every update: JSON lines that a program reads, TensorBoard for people."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Self

import torch
from torch.utils.tensorboard import SummaryWriter

from sdiwm_model.files import atomic_path

LINES, CURVES = "metrics.jsonl", "tensorboard"

# Dense bfloat16 multiply-adds with float32 sums, teraflop/s, from the makers' data sheets; the
# first name that occurs in the device's own counts.
PEAK_TFLOPS = {
    "H200": 989.4,
    "H100 PCIe": 756.0,
    "H100": 989.4,
    "B200": 2250.0,
    "A100": 311.8,
    "A10G": 70.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "RTX 4090": 165.2,
    "RTX 3090": 71.0,
}


class Metrics:
    """The two files of a run; rank 0 alone has one.

    A run that goes on from a checkpoint drops what the stopped one wrote after it, so that each
    update is there once.
    """

    def __init__(self, folder: Path, done: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LINES
        kept = [line for line in _lines(path) if _update(line) < done]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
        self._lines = path.open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(folder / CURVES), purge_step=done)

    def write(self, update: int, values: dict[str, float | None]) -> None:
        """Note one update; a value that is not known is null."""
        self._lines.write(json.dumps({"update": update, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            if value is not None:
                self._curves.add_scalar(name, value, update)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._curves.close()


def peak_tflops(device: torch.device, stated: float) -> float | None:
    """What the device can do at most, teraflop/s: as ``stated``, else as its maker says."""
    if stated:
        return stated
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in PEAK_TFLOPS.items() if known in name), None)


def memory_peak_gb(device: torch.device) -> float:
    """Most memory this process has held: reserved on its CUDA device, resident on the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []


def _update(line: str) -> float:
    """Of which update a line tells; a line that a killed process cut short is of none."""
    try:
        return int(json.loads(line)["update"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
