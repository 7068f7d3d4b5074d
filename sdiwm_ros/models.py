"""Which bundle a node or command means, and how it is loaded. ROS-free."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_model.shipped import bundle_folder

EXECUTED = {
    "torch": ("model.safetensors",),
    "onnx": ("vision.onnx", "fusion.onnx", "step.onnx", "heads.onnx"),
    "native": ("vision.onnx", "engine.safetensors"),
    "mcu": ("vision.onnx", "engine.safetensors"),
}
"""The files of a bundle that each back end runs in the loop; the text encoder is not counted."""

RuntimeLoader = Callable[[dict[str, Any]], Runtime]


class ModelWatch:
    """Notices that a bundle's files are no longer those that were there at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._first = self._look()

    def replaced(self) -> bool:
        """One `stat` a file: cheap enough for every second."""
        return self._look() != self._first

    def _look(self) -> dict[str, tuple[int, int, int]]:
        try:
            stats = {entry.name: entry.stat() for entry in os.scandir(self.folder)}
        except OSError:
            return {}
        return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats.items()}


def load_named_runtime(parameters: dict[str, Any]) -> Runtime:
    """Load what the parameters `model`, `task` and `backend` name.

    Raises:
        SdiwmError: unknown task or back end; missing, damaged or foreign bundle.
    """
    from sdiwm_model.runtime.load import load_runtime

    folder = bundle_folder(parameters["model"], parameters["task"])
    runtime = load_runtime(folder, parameters["backend"])
    check_carried(runtime.manifest)
    return runtime


def check_carried(manifest: Manifest) -> None:
    """Refuse a model whose inputs the topics do not carry.

    Raises:
        SdiwmError: it takes several cameras or frames, or goals by picture.
    """
    size = manifest.sizes
    if size.cameras > 1 or size.frames > 1 or size.goal_image:
        raise SdiwmError(
            f"the model of task '{manifest.task}' takes {size.cameras} cameras, {size.frames} "
            f"frames and its goal {'by picture' if size.goal_image else 'in words'}; the ROS graph "
            "carries one camera, one frame and words: use `sdiwm run`"
        )


def check_named(backend: str, model: str, task: str) -> None:
    """Refuse at once what the nodes could not load, before any of them is started.

    Raises:
        SdiwmError: unknown back end or task; missing, damaged or foreign bundle.
    """
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.runtime.load import check_backend

    check_backend(backend)
    check_carried(read_manifest(bundle_folder(model, task)))


def model_bytes(model: str, task: str, backend: str) -> int:
    """Size of what the back end executes at every tick and picture, in bytes."""
    from sdiwm_model.checkpoint import read_manifest

    folder = bundle_folder(model, task)
    names = read_manifest(folder, check_files=False).files
    chosen = [name for name in EXECUTED[backend] if name in names]
    return sum((folder / name).stat().st_size for name in chosen)


def warm_up(runtime: Runtime) -> None:
    """Use everything that runs in the loop once: what is loaded lazily must not miss a deadline."""
    size = runtime.manifest.sizes
    image = np.zeros((size.image_size, size.image_size, 3), np.uint8)
    z = runtime.fuse(runtime.encode_image(image), np.zeros(size.proprio, np.float32))
    c = np.zeros(size.conditioning, np.float32)
    planner = runtime.make_planner(runtime.manifest.planner, seed=0)
    actions = planner.plan(z, c, None).actions
    runtime.probe(runtime.rollout(z, actions, c))
