"""Stages of compression: bundles of one task, and what can be said of them without running them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import Manifest, load_model, read_manifest
from sdiwm_model.complexity import complexity
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.protocols import HOST_BACKENDS
from sdiwm_model.sizes import ModelSize

FULL = "full"  # what every other stage is compared with
GRAPHS = ("vision", "fusion", "step", "heads", "prior")
ENGINE, ENCODER = "engine.safetensors", "encoder.safetensors"
AT_WORK = ("vision", "fusion", "dynamics", "cost", "value", "prior")  # parts that run every tick
WIDTHS = ("encoder", "channels", "keypoints", "fusion", "latent", "dynamics", "head", "prior")


@dataclass(frozen=True)
class Stage:
    """One row of the comparison.

    name     as in "pruned"
    backend  that imagines and controls
    bundles  one for each training seed
    """

    name: str
    backend: str
    bundles: tuple[Path, ...]


def read_stage(words: Sequence[str]) -> Stage:
    """NAME, or NAME@BACKEND, and folders; the back end is onnx where none is named.

    Raises:
        SdiwmError: no folder, or no such back end.
    """
    name, _, backend = words[0].partition("@")
    backend = backend or "onnx"
    if not name or len(words) < 2:
        raise SdiwmError(f"--stage {' '.join(words)}: write NAME or NAME@BACKEND, then its bundles")
    if backend not in HOST_BACKENDS:
        raise SdiwmError(f"--stage {words[0]}: choose the back end from {', '.join(HOST_BACKENDS)}")
    return Stage(name, backend, tuple(Path(word) for word in words[1:]))


def check_stages(stages: Sequence[Stage], task: str) -> None:
    """Raise SdiwmError unless all of them are bundles that solve ``task``, the first one `full`."""
    names = [stage.name for stage in stages]
    if len(names) < 2 or names[0] != FULL or len(set(names)) < len(names):
        raise SdiwmError(
            f"--stage: name '{FULL}' first, then one or more others, each once; got "
            f"{', '.join(names) or 'none'}"
        )
    reference = read_manifest(stages[0].bundles[0])
    most = max(stages, key=lambda stage: len(stage.bundles))
    for stage in stages:
        if len(stage.bundles) not in (1, len(most.bundles)):
            raise SdiwmError(
                f"--stage {stage.name} names {len(stage.bundles)} bundles and '{most.name}' "
                f"{len(most.bundles)}: name as many, in the same order, or one"
            )
        for bundle in stage.bundles:
            manifest = read_manifest(bundle)
            if manifest.task != task:
                raise SdiwmError(f"{bundle} was trained for the task {manifest.task}, not {task}")
            for field in ("goals", "action_limit", "dt"):
                if getattr(manifest, field) != getattr(reference, field):
                    raise SdiwmError(f"{bundle}: its '{field}' is not that of {FULL}")
            if missing := missing_for(stage.backend, manifest):
                raise SdiwmError(f"{bundle} cannot run on {stage.backend}: {missing}")


def missing_for(backend: str, manifest: Manifest) -> str | None:
    """Why a bundle does not run on a back end; None where it does."""
    if backend == "native" and manifest.sizes.dynamics_kind != "gru":
        return f"its dynamics is a {manifest.sizes.dynamics_kind}, no GRU"
    needed = {"torch": (), "onnx": ("vision.onnx",), "native": ("vision.onnx", ENGINE)}[backend]
    for name in needed:
        if name not in manifest.files:
            return f"it holds no {name}; `sdiwm export` makes a bundle of a run"
    return None


def size_facts(bundle: Path) -> dict[str, Any]:
    """`params`, `macs` and `bytes` of a bundle.

    params  of what runs in control: sight, fusion, dynamics, cost, value and prior; `params_all`
            has the goal's sentence and what only training needs as well
    macs    `encode`: a moment's pictures to a latent; `plan`: one plan of the bundle's settings
    bytes   of that on each target: float parameters, ONNX graphs, and the int8 engine with the
            encoder that runs beside it: ONNX's on this machine, int8 on a microcontroller
    """
    model, manifest = load_model(bundle)
    parts = (getattr(model, name) for name in AT_WORK)
    parameters = sum(p.numel() for part in parts if part is not None for p in part.parameters())
    counted = complexity(manifest.sizes)
    files = {name: (bundle / name).stat().st_size for name in manifest.files}
    graphs = [f"{name}.onnx" for name in GRAPHS if f"{name}.onnx" in files]
    return {
        "params": parameters,
        "params_all": counted.parameters,
        "macs": {
            "encode": counted.macs_per_frame,
            "plan": macs_of_plan(manifest.sizes, manifest.planner),
        },
        "bytes": {
            "torch": 4 * parameters,
            "onnx": sum(files[name] for name in graphs) or None,
            "native": _sum(files, (ENGINE, "vision.onnx")),
            "mcu": _sum(files, (ENGINE, ENCODER)),
        },
        "size": manifest.size,
        "widths": {name: getattr(manifest.sizes, name) for name in WIDTHS},
        "planner": f"{manifest.planner.candidates}x{manifest.planner.horizon}",
    }


def macs_of_plan(size: ModelSize, settings: PlannerSettings) -> int | None:
    """Multiply-accumulates of rolling out a plan's candidates; None for a transformer dynamics."""
    if size.dynamics_kind != "gru":
        return None
    value = size.head * (size.latent + 1)
    one = settings.horizon * size.macs_per_model_step + value
    return settings.iterations * settings.candidates * one


def _sum(files: dict[str, int], names: Sequence[str]) -> int | None:
    return sum(files[name] for name in names) if all(name in files for name in names) else None
