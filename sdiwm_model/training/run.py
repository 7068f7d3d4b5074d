"""A whole training run from folders to a bundle: what `sdiwm train` does."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import Manifest, load_model
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.report import commit
from sdiwm_model.sizes import find_size
from sdiwm_model.text_encoder import TextEncoder
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.finish import write_bundle
from sdiwm_model.training.trainer import Interruption, Sentences, Trainer
from sdiwm_model.world_model import WorldModel


def train(
    folders: list[Path],
    out: Path,
    config: TrainingConfig,
    seed: int,
    init: Path | None = None,
    text_encoder: Path | None = None,
    after_update: Interruption = lambda stage, done: None,
) -> WorldModel:
    """Train on ``folders`` and write a bundle of the float model into ``out``.

    A run that was stopped goes on where it was: same command, same ``out``.

    Args:
        init: bundle to start from; its size replaces the configuration's.

    Raises:
        SdiwmError: bad data, a contradicting configuration, or a snapshot of another run.
    """
    start = time.monotonic()
    manifests = [read_manifest(folder) for folder in folders]
    task = _task_of(folders, manifests)
    initial = None
    if init is not None:
        initial, origin = load_model(init)
        config = replace(config, size=origin.size)
    encoder = TextEncoder(text_encoder)
    data = Experience.from_episodes(load_episodes(folders), task["cost_unit"], task["camera_lags"])
    trainer = Trainer(
        folder=out,
        config=config,
        seed=seed,
        data=data,
        sentences=_sentences(task),
        encoder=encoder,
        initial=initial,
        origin={
            "data": [shard["sha256"] for m in manifests for shard in m["shards"]],
            "initial weights": None if init is None else origin.model_hash,
        },
        after_update=after_update,
    )
    model = trainer.run()
    manifest = Manifest(
        task=task["name"],
        size=config.size,
        sizes=find_size(config.size),
        dt=task["dt"],
        goals=tuple(task["goals"]),
        action_limit=tuple(task["action_limit"]),
        planner=PlannerSettings(),
        text_encoder=encoder.describe(),
        provenance={
            "command": shlex.join(["sdiwm", *sys.argv[1:]]),
            "seed": seed,
            "commit": commit(),
            "minutes": round((time.monotonic() - start) / 60, 1),
            "configuration": asdict(config),
            "data": [m["provenance"] for m in manifests],
            "init": origin.provenance if init is not None else None,
        },
    )
    write_bundle(out, model, data, manifest, seed)
    return model


def _task_of(folders: list[Path], manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """What the data says of its task; all folders must be of one."""
    tasks = [m["task"] for m in manifests]
    for folder, task in zip(folders, tasks, strict=True):
        if task["name"] != tasks[0]["name"]:
            raise SdiwmError(
                f"{folder} holds task '{task['name']}', {folders[0]} holds "
                f"'{tasks[0]['name']}': train on one task at a time"
            )
    return tasks[0]


def _sentences(task: dict[str, Any]) -> Sentences:
    pairs = [
        (text, goal) for goal, texts in enumerate(task["train_instructions"]) for text in texts
    ]
    return Sentences([t for t, _ in pairs], [g for _, g in pairs], task["unrelated"])
