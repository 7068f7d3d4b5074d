"""Training of a world-action model on a bundle's frozen encoder: what `sdiwm wam` does."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sdiwm_model.checkpoint import Manifest, load_model
from sdiwm_model.errors import SdiwmError
from sdiwm_model.report import commit
from sdiwm_model.training.checks import open_data
from sdiwm_model.training.snapshot import FILE, Snapshot
from sdiwm_model.wam.checkpoint import FOLDER, WEIGHTS, WamManifest, load_wam, save_wam
from sdiwm_model.wam.distil import check_teacher
from sdiwm_model.wam.experience import Demonstrations, load_demonstrations
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.optimise import AfterUpdate, Run, Stage, optimise
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.settings import WamConfig
from sdiwm_model.wam.stages import anchor_stage, few_step_stage, flow_stage

SETTINGS = "config.yaml"
STEPS = StepPair(1, 1)  # demonstrations leave one future, and more steps gained no success
LEAST_STD = 1e-3  # of an observation's number that hardly changes in the data


def train_wam(
    bundle: Path,
    folders: Sequence[Path],
    out: Path,
    config: WamConfig,
    seed: int,
    teacher: Path | None = None,
    after_update: AfterUpdate = lambda done: None,
) -> WorldActionModel:
    """Train on the demonstrations in ``folders`` and write ``out``/wam.

    A run that was stopped goes on where it was: same call, same ``out``.

    Args:
        teacher: folder of the run whose larger model is learned from too, if any.

    Raises:
        SdiwmError: a bad bundle, bad data, a contradicting configuration, a teacher of other tokens
            or data, or a snapshot of another run. All of it is found before anything is written.
    """
    start = time.monotonic()
    torch.set_num_threads(1)  # two threads are slower than one for these sizes
    base, manifest = load_model(bundle)
    size = config.size_on(manifest.sizes)
    reader = open_data(folders)
    _check_task(manifest, reader.task, bundle, folders[0])
    identity = {
        "configuration": config.identity(),
        "seed": seed,
        "bundle": manifest.model_hash,
        "data": [shard["sha256"] for m in reader.manifests for shard in m["shards"]],
        "teacher": None,
    }
    larger = None
    if teacher is not None:
        larger, its = load_wam(teacher, manifest)
        identity["teacher"] = its.files[WEIGHTS]
    snapshot = Snapshot(out, identity) if (out / FILE).exists() else None
    data = load_demonstrations(folders, base, config.speeds)
    torch.manual_seed(seed)
    model = WorldActionModel(size)
    scale(model, data)
    if larger is not None:
        check_teacher(model, larger)
    out.mkdir(parents=True, exist_ok=True)
    config.write(out / SETTINGS)
    run = Run(
        out, seed, identity, config.weight_decay, config.average, config.save_every, after_update
    )
    trained = _all_stages(model, larger, data, config, run, snapshot)
    provenance = {
        "command": shlex.join(["sdiwm", *sys.argv[1:]]),
        "seed": seed,
        "commit": commit(),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "configuration": config.identity(),
        "demonstrations": len(data.lengths),
        "data": [m["provenance"] for m in reader.manifests],
    }
    told = WamManifest(
        size,
        manifest.model_hash,
        steps=STEPS,
        modes=config.draw.modes,
        one_step=config.few_step_updates > 0,
        provenance=provenance,
    )
    save_wam(out / FOLDER, trained, told)
    return trained


def _all_stages(
    model: WorldActionModel,
    teacher: WorldActionModel | None,
    data: Demonstrations,
    config: WamConfig,
    run: Run,
    snapshot: Snapshot | None,
) -> WorldActionModel:
    """The actions alone, both modalities, and the few-step head where it is asked for."""
    stages: list[Callable[[WorldActionModel], Stage]] = [
        lambda reached: anchor_stage(reached, data, config),
        lambda reached: flow_stage(reached, teacher, data, config),
    ]
    if config.few_step_updates:
        stages.append(lambda reached: few_step_stage(reached, data, config))
    first = 0 if snapshot is None else snapshot.position.stage
    for stage in stages[first:]:
        model = optimise(stage(model), run, snapshot)
        snapshot = None
    return model


def _check_task(manifest: Manifest, task: dict[str, Any], bundle: Path, folder: Path) -> None:
    """SdiwmError where the data is of another task than the bundle, or of other goals or steps."""
    stated = {"name": manifest.task, "dt": manifest.dt, "goals": list(manifest.goals)}
    for fact, wanted in stated.items():
        if task[fact] != wanted:
            raise SdiwmError(
                f"{folder} holds data whose {fact} is {task[fact]!r}, that of the bundle {bundle} "
                f"is {wanted!r}: name data of the bundle's own task"
            )


def scale(model: WorldActionModel, data: Demonstrations) -> None:
    """Set the units of observations and of imagined changes to what they are in the data."""
    size = model.size
    model.observation.mean.copy_(data.observation[0].mean(dim=0))
    model.observation.std.copy_(data.observation[0].std(dim=0) + LEAST_STD)
    for frame in range(size.frames):
        later = size.stride * (frame + 1)
        change = [
            data.features[start + later : start + length]
            - data.features[start : start + length - later]
            for start, length in zip(data.starts.tolist(), data.lengths.tolist(), strict=True)
        ]
        model.future.scale[frame].copy_(torch.cat(change).std(dim=0) + LEAST_STD)
