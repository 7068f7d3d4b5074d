"""A whole training run from folders to a bundle: what `sdiwm train` does."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.complexity import complexity
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.pretraining.encoder_file import PretrainedEncoder, is_pretrained, load_encoder
from sdiwm_model.report import commit
from sdiwm_model.sizes import ModelSize
from sdiwm_model.text_encoder import TextEncoder
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.checks import (
    check_start,
    initial_model,
    model_with_pretrained,
    model_with_vision,
    open_data,
    size_for,
)
from sdiwm_model.training.config import TrainingConfig, configure
from sdiwm_model.training.finish import write_bundle
from sdiwm_model.training.guide import Guide
from sdiwm_model.training.logs import check_logging
from sdiwm_model.training.trainer import Interruption, Sentences, Trainer
from sdiwm_model.world_model import WorldModel

SETTINGS = "config.yaml"


def train(
    folders: list[Path],
    out: Path,
    config: TrainingConfig,
    seed: int,
    init: Path | None = None,
    vision: Path | None = None,
    text_encoder: Path | None = None,
    after_update: Interruption = lambda stage, done: None,
    guide: Guide | None = None,
) -> WorldModel:
    """Train on ``folders`` and write a bundle of the float model into ``out``.

    A run that was stopped goes on where it was: same command, same ``out``.

    Args:
        init: run or bundle to start from, of the same task and size.
        vision: run or bundle whose image branch and language to start from, or a folder that
            `sdiwm pretrain` wrote, whose image encoder to start from; the rest is new.
        guide: a teacher that adds losses, where there is one.

    Raises:
        SdiwmError: bad data, a contradicting configuration, or a snapshot of another run. All of
            it is found before anything is written.
    """
    start = time.monotonic()
    reader = open_data(folders)
    task, manifests = reader.task, reader.manifests
    size = size_for(config, reader.spec)
    check_start(config, size, init, vision, guided=guide is not None)
    check_logging(config.wandb)
    config.check_against(min(reader.lengths))
    initial, origin = _start(init, vision, size, task, seed)
    encoder = TextEncoder(text_encoder)
    data = Experience.from_episodes(load_episodes(folders), task["cost_unit"], task["camera_lags"])
    if isinstance(origin, PretrainedEncoder):
        initial = model_with_pretrained(origin, size, data, seed)
    trainer = Trainer(
        folder=out,
        config=config,
        size=size,
        seed=seed,
        data=data,
        sentences=_sentences(task),
        encoder=encoder,
        initial=initial,
        origin={
            "data": [shard["sha256"] for m in manifests for shard in m["shards"]],
            "initial weights": None if origin is None else origin.model_hash,
            "teacher": None if guide is None else guide.identity(),
        },
        after_update=after_update,
        guide=guide,
    )
    earlier = _write_settings(out, config, trainer.resumes)
    model = trainer.run()
    manifest = Manifest(
        task=task["name"],
        size=config.size,
        sizes=size,
        dt=task["dt"],
        goals=tuple(task["goals"]),
        action_limit=tuple(task["action_limit"]),
        planner=config.planner,
        text_encoder=encoder.describe(),
        provenance={
            "command": shlex.join(["sdiwm", *sys.argv[1:]]),
            "seed": seed,
            "commit": commit(),
            "complexity": asdict(complexity(size)),
            "minutes": round((time.monotonic() - start) / 60, 1),
            "configuration": asdict(config),
            "earlier configurations": [asdict(each) for each in earlier],
            "data": [m["provenance"] for m in manifests],
            "init": origin.provenance if origin is not None and init is not None else None,
            "vision": origin.provenance if origin is not None and vision is not None else None,
            **({} if guide is None else guide.about()),
        },
    )
    write_bundle(out, model, data, trainer.features, manifest, seed)
    return model


def _start(
    init: Path | None, vision: Path | None, size: ModelSize, task: dict[str, Any], seed: int
) -> tuple[WorldModel | None, Manifest | PretrainedEncoder | None]:
    """The weights to start from, and where they come from; None for random ones.

    A pre-trained encoder is loaded and checked here, but becomes a model only with the data.
    """
    if init is not None:
        return initial_model(init, size, task, seed)
    if vision is None:
        return None, None
    if is_pretrained(vision):
        encoder = load_encoder(vision)
        encoder.check_fits(size, vision)
        return None, encoder
    return model_with_vision(vision, size, task, seed)


def _write_settings(out: Path, config: TrainingConfig, resumes: bool) -> list[TrainingConfig]:
    """Write config.yaml, which `--config` reads back.

    A run that goes on with other learning rates keeps the earlier ones, in config-1.yaml and so
    on; they are returned, oldest first.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / SETTINGS
    if not resumes:
        config.write(path)
        return []
    if configure(file=path) != config:
        path.rename(out / f"{path.stem}-{len(_earlier(out)) + 1}{path.suffix}")
        config.write(path)
    return [configure(file=each) for each in _earlier(out)]


def _earlier(out: Path) -> list[Path]:
    path = out / SETTINGS
    numbered = out.glob(f"{path.stem}-*{path.suffix}")
    return sorted(numbered, key=lambda each: int(each.stem.rpartition("-")[2]))


def _sentences(task: dict[str, Any]) -> Sentences:
    pairs = [
        (text, goal) for goal, texts in enumerate(task["train_instructions"]) for text in texts
    ]
    return Sentences([t for t, _ in pairs], [g for _, g in pairs], task["unrelated"])
