"""Structured pruning: a run becomes one of smaller widths, so that dense kernels get faster."""

from __future__ import annotations

import hashlib
import math
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdiwm_model.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Manifest,
    load_model,
    read_manifest,
    save_weights,
    write_manifest,
)
from sdiwm_model.complexity import complexity
from sdiwm_model.compression.image_channels import MAPS
from sdiwm_model.compression.importance import importance
from sdiwm_model.compression.recall import Recall
from sdiwm_model.compression.refill import Inputs, refill
from sdiwm_model.compression.slicing import check_sliceable, groups, slice_model
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.report import commit
from sdiwm_model.sizes import TILE, ModelSize, find_size
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.checks import check_data_fits, open_data
from sdiwm_model.training.config import TrainingConfig, configure
from sdiwm_model.training.finish import CALIBRATION
from sdiwm_model.training.run import SETTINGS, train
from sdiwm_model.training.trainer import Interruption
from sdiwm_model.world_model import WorldModel

ROUNDS = "rounds"  # folder of what lies between the rounds
EPISODES = 256  # taken evenly from all, that importance is measured on


@dataclass(frozen=True)
class PruneSettings:
    """What is taken away, and how the rest recovers.

    ratio           share of the units of every group that goes, 0 to below 1
    rounds          how many times some go and the others are trained again
    vision_updates, world_updates
                    updates of the image branch and of all else after each round
    vision_learning_rate, world_learning_rate
                    of those
    prior_plans     plans of the planner that a policy prior learns anew in the end
    batches         recorded sequences, 16 in each, that importance is measured on
    """

    ratio: float = 0.5
    rounds: int = 2
    vision_updates: int = 500
    world_updates: int = 3000
    vision_learning_rate: float = 1e-3
    world_learning_rate: float = 1e-3
    prior_plans: int = 2000
    batches: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise SdiwmError(f"pruning setting 'ratio' is {self.ratio}: use 0 to below 1")
        for name in ("rounds", "world_updates", "batches"):
            if getattr(self, name) < 1:
                raise SdiwmError(f"pruning setting '{name}' is {getattr(self, name)}: use >= 1")
        for name in ("vision_updates", "prior_plans"):
            if getattr(self, name) < 0:
                raise SdiwmError(f"pruning setting '{name}' is {getattr(self, name)}: use >= 0")
        for name in ("vision_learning_rate", "world_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SdiwmError(f"pruning setting '{name}' is {getattr(self, name)}: use > 0")


def pruned_size(size: ModelSize, ratio: float) -> ModelSize:
    """The size with about ``ratio`` less of every width, in whole tiles.

    Raises:
        SdiwmError: a group would be left without a unit, or the model has none to remove.
    """
    check_sliceable(size)
    changes: dict[str, Any] = {
        name: tuple(_fewer(f"{name}.{i}", n, ratio) for i, n in enumerate(getattr(size, name)))
        for name in ("channels", "fusion")
    }
    for name in ("keypoints", "latent", "dynamics"):
        changes[name] = _fewer(name, getattr(size, name), ratio)
    changes["head"] = _fewer("head", size.head, ratio, math.lcm(TILE, size.ensemble))
    if size.prior:
        changes["prior"] = _fewer("prior", size.prior, ratio)
    return replace(size, **changes)


def prune(
    source: Path,
    data: Sequence[Path],
    out: Path,
    settings: PruneSettings,
    seed: int,
    after_update: Interruption = lambda stage, done: None,
) -> dict[str, Any]:
    """Remove units of the run or bundle ``source`` and train the rest again, into the run ``out``.

    Each round removes as large a share as the others: of every group the units that matter least,
    see `importance`; what they told is read from the others as far as possible, see `refill`. Then
    the image branch learns its features again, see `recall`, and `train` goes on with all else, by
    the settings of ``source`` where it holds them, else those of the task. Stopped, it goes on
    with the same call.

    Args:
        data: folders of episodes, for importance and training.
        after_update: see `Interruption`; the stage is "round 1: vision" and so on.

    Returns:
        What the manifest's provenance says under "prune": settings, and parameters and
        multiply-accumulates before and after.

    Raises:
        SdiwmError: ``source`` has nothing to prune, the ratio leaves a group without a unit, the
            data is of another task, or ``out`` belongs to another run.
    """
    origin = read_manifest(source)
    target = pruned_size(origin.sizes, settings.ratio)
    reader = open_data(data)
    check_data_fits(origin, source, reader.spec)
    _training(source, origin, target, settings, last=True).check_against(min(reader.lengths))
    identity = {
        "seed": seed,
        "settings": asdict(settings),
        "of": origin.model_hash,
        "episodes": _fingerprint(reader),
    }
    if done := _finished(out, source, identity):
        return done
    before = source
    maps: Mapping[str, Sequence[int]] = {}
    for number in range(1, settings.rounds + 1):
        share = (1 - settings.ratio) ** (number / settings.rounds)
        size = target if number == settings.rounds else pruned_size(origin.sizes, 1 - share)
        sliced, folder = (out / ROUNDS / f"{number}-{part}" for part in ("sliced", "trained"))
        config = _training(source, origin, size, settings, last=number == settings.rounds)
        if not _finished(sliced, source, identity):
            _write_sliced(before, sliced, size, data, config, settings, identity, maps)
        maps = read_manifest(sliced).provenance["prune"]["maps"]
        if not (folder / MANIFEST).is_file():
            told = _in_round(number, after_update)
            recall = Recall(source, maps, config)
            train(list(data), folder, config, seed, init=sliced, after_update=told, guide=recall)
        before = folder
    return _finish(before, out, origin, target, identity)


def _in_round(number: int, after_update: Interruption) -> Interruption:
    def told(stage: str, done: int) -> None:
        after_update(f"round {number}: {stage}", done)

    return told


def _fewer(name: str, units: int, ratio: float, step: int = TILE) -> int:
    left = (1 - ratio) * units
    if left < 1:
        raise SdiwmError(
            f"pruning setting 'ratio' is {ratio}, which leaves none of the {units} units of "
            f"'{name}': use a smaller one"
        )
    return min(units, max(1, round(left / step)) * step)


def _finished(folder: Path, source: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier call wrote into ``folder``, if it came so far."""
    if folder.exists() and (not folder.is_dir() or folder.resolve() == source.resolve()):
        raise SdiwmError(f"--out {folder} must be a folder other than --model")
    if not (folder / MANIFEST).is_file():
        return None
    done = read_manifest(folder).provenance.get("prune", {})
    different = [name for name in identity if done.get(name) != identity[name]]
    if different:
        raise SdiwmError(
            f"{folder} holds a run with another {' and '.join(different)}: choose another --out, "
            "or remove the folder to start anew"
        )
    return dict(done)


def remove_units(
    model: WorldModel,
    size: ModelSize,
    data: Experience,
    horizon: int,
    discount: float,
    batches: int,
    seed: int,
) -> tuple[WorldModel, dict[str, list[int]]]:
    """A model of ``size`` of the units of ``model`` that matter most, untrained; and those units.

    The weights of ``model`` are changed, see `refill`. The other arguments are `importance`'s.
    """
    inputs = Inputs()
    with inputs.watching(model):
        matters = importance(model, data, horizon, discount, batches, seed)
    kept = chosen_units(model, size, matters)
    refill(model, kept, inputs)
    return slice_model(model, kept), kept


def _write_sliced(
    source: Path,
    out: Path,
    size: ModelSize,
    data: Sequence[Path],
    config: TrainingConfig,
    settings: PruneSettings,
    identity: dict[str, Any],
    maps: Mapping[str, Sequence[int]],
) -> None:
    """Write the model of ``source`` without the units that matter least, untrained.

    Args:
        maps: keypoints of ``source``, by their numbers in the model that rounds began with; none
            before the first round. The manifest has them of what is written.
    """
    model, manifest = load_model(source)
    reader = open_data(data)
    some = range(0, len(reader), max(1, len(reader) // EPISODES))
    recorded = Experience.from_episodes(
        [reader.read(index) for index in some],
        reader.task["cost_unit"],
        reader.task["camera_lags"],
    )
    sliced, kept = remove_units(
        model, size, recorded, config.horizon, config.discount, settings.batches, identity["seed"]
    )
    out.mkdir(parents=True, exist_ok=True)
    save_weights(out / WEIGHTS, sliced)
    maps = {n: [maps[n][u] for u in kept[n]] if maps else kept[n] for n in kept if MAPS in n}
    provenance = manifest.provenance | {"prune": identity | {"maps": maps}}
    write_manifest(out, replace(manifest, sizes=size, provenance=provenance))


def chosen_units(
    model: WorldModel, size: ModelSize, matters: dict[str, Tensor]
) -> dict[str, list[int]]:
    """The units that matter most, as many of each group as a model of ``size`` has."""
    after = groups(size)
    kept = {}
    for name, group in groups(model.size).items():
        parts = matters[name].reshape(group.parts, -1)
        best = parts.topk(after[name].units // group.parts, dim=1).indices
        every = best + torch.arange(group.parts)[:, None] * parts.shape[1]
        kept[name] = sorted(every.flatten().tolist())
    return kept


def _training(
    source: Path, origin: Manifest, size: ModelSize, settings: PruneSettings, last: bool
) -> TrainingConfig:
    """How the rest is trained again."""
    own = source / SETTINGS
    config = configure((), origin.task, own if own.is_file() else None)
    named = find_size(config.size)
    changes = {f.name: getattr(size, f.name) for f in fields(ModelSize)}
    changes = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in changes.items()
        if value != getattr(named, name)
    }
    return replace(
        config,
        size_changes=changes,
        language_steps=0,
        vision_steps=settings.vision_updates,
        world_steps=settings.world_updates,
        vision_learning_rate=settings.vision_learning_rate,
        world_learning_rate=settings.world_learning_rate,
        prior_plans=settings.prior_plans if size.prior and last else 0,
        planner=origin.planner,
    )


def _fingerprint(data: ShardReader) -> str:
    """16 hexadecimal digits that tell these episodes from others."""
    shards = [shard["sha256"] for manifest in data.manifests for shard in manifest["shards"]]
    return hashlib.sha256("".join(shards).encode()).hexdigest()[:16]


def _finish(
    trained: Path, out: Path, origin: Manifest, size: ModelSize, identity: dict[str, Any]
) -> dict[str, Any]:
    """Make ``out`` the run that was trained last, with the provenance of ``origin`` and its own."""
    for name in (WEIGHTS, CALIBRATION, SETTINGS):
        shutil.copyfile(trained / name, out / name)
    manifest = read_manifest(trained)
    counts = {"before": _counts(origin.sizes), "after": _counts(size)}
    about = {
        "command": shlex.join(["sdiwm", *sys.argv[1:]]),
        "commit": commit(),
        **identity,
        **counts,
        "minutes": manifest.provenance["minutes"],
        "data": manifest.provenance["data"],
    }
    provenance = origin.provenance | {"complexity": asdict(complexity(size)), "prune": about}
    write_manifest(out, replace(manifest, text_encoder=origin.text_encoder, provenance=provenance))
    return about


def _counts(size: ModelSize) -> dict[str, int]:
    return asdict(complexity(size)) | {"macs_per_model_step": size.macs_per_model_step}
