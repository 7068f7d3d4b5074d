"""Steps that keep the weights: another calibration, other planner settings."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import WEIGHTS, Manifest, load_model, read_manifest, write_manifest
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.export.bundle import ENGINE
from sdiwm_model.report import commit
from sdiwm_model.training.batches import Experience, encode_frames
from sdiwm_model.training.checks import open_data
from sdiwm_model.training.finish import CALIBRATION, write_calibration


def calibrate(source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
    """A run of the weights of ``source``, run or bundle, calibrated on ``data``.

    An engine that ``source`` has is left behind: its ranges are of another calibration.
    """
    model, manifest = load_model(source)
    reader = open_data(data)
    episodes, task = load_episodes(list(data)), reader.task
    seen = Experience.from_episodes(episodes, task["cost_unit"], task["camera_lags"])
    _copy(source, out, (WEIGHTS,))
    write_calibration(out, model, seen, encode_frames(model.vision, seen.frames), seed)
    about = {"seed": seed, "data": [m["provenance"] for m in reader.manifests]}
    _finish(out, manifest, manifest, "calibrate", about)


def change_planner(source: Path, out: Path, changes: Mapping[str, Any]) -> None:
    """The run ``source`` with other planner settings."""
    manifest = read_manifest(source)
    _copy(source, out, (WEIGHTS, CALIBRATION, ENGINE))
    changed = replace(manifest, planner=replace(manifest.planner, **changes))
    _finish(out, changed, manifest, "planner", {"changes": dict(changes)})


def _copy(source: Path, out: Path, names: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def _finish(out: Path, made: Manifest, origin: Manifest, step: str, about: dict[str, Any]) -> None:
    told = {"command": shlex.join(["sdiwm", *sys.argv[1:]]), "commit": commit()}
    told |= about | {"of": origin.model_hash}
    write_manifest(out, replace(made, provenance=made.provenance | {step: told}))
