"""Which bundle a node or command means, and how it is loaded. ROS-free."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import WAM_BACKENDS, Runtime
from sdiwm_model.runtime.wam_settings import WamSettings, check_asked, check_wam
from sdiwm_model.shipped import bundle_folder
from sdiwm_model.wam.checkpoint import FOLDER as WAM_FOLDER
from sdiwm_model.wam.checkpoint import read_wam_manifest

EXECUTED = {
    "torch": ("model.safetensors",),
    "onnx": ("vision.onnx", "fusion.onnx", "step.onnx", "heads.onnx"),
    "native": ("vision.onnx", "engine.safetensors"),
    "wam": ("vision.onnx", "fusion.onnx"),
    "wam+mppi": ("vision.onnx", "fusion.onnx", "engine.safetensors"),
    "mcu": ("vision.onnx", "engine.safetensors"),
}
"""The files of a bundle that each back end runs in the loop; the text encoder is not counted, and
a world-action model's graphs are in a folder of their own.
"""

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
    runtime = load_runtime(folder, parameters["backend"], wam=wam_settings(parameters))
    check_carried(runtime.manifest)
    return runtime


def wam_settings(parameters: dict[str, Any]) -> WamSettings:
    """What the parameters of a planner ask of a world-action model; other nodes ask nothing."""
    if "wam_steps" not in parameters:
        return WamSettings()
    names = ("steps", "mode", "every", "proposals", "asynchronous")
    given = {name: parameters[f"wam_{name}"] for name in names}
    asked = WamSettings(**given, delay=parameters["inference_delay"])
    if parameters["backend"] not in WAM_BACKENDS and not asked.delay:
        return WamSettings()  # the others say nothing to other back ends
    return asked


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


def check_named(backend: str, model: str, task: str, wam: WamSettings | None = None) -> None:
    """Refuse at once what the nodes could not load, before any of them is started.

    Raises:
        SdiwmError: unknown back end or task; missing, damaged or foreign bundle; no world-action
            model in it where one is to plan, or settings that contradict it.
    """
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.runtime.load import check_backend

    check_backend(backend)
    folder = bundle_folder(model, task)
    manifest = read_manifest(folder)
    check_carried(manifest)
    asked = wam or WamSettings()
    check_asked(backend, asked)
    if backend in WAM_BACKENDS:
        check_wam(folder, manifest, backend, asked)


def model_bytes(model: str, task: str, backend: str) -> int:
    """Size of what the back end executes at every tick and picture, in bytes."""
    from sdiwm_model.checkpoint import read_manifest

    folder = bundle_folder(model, task)
    manifest = read_manifest(folder, check_files=False)
    chosen = [name for name in EXECUTED[backend] if name in manifest.files]
    if backend in WAM_BACKENDS:
        names = read_wam_manifest(folder, manifest).files
        chosen += [f"{WAM_FOLDER}/{name}" for name in names if name.endswith(".onnx")]
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
