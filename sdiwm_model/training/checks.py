"""What is refused before training starts, and the model's size for the data at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from sdiwm_model.checkpoint import Manifest, load_model
from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.encoder_file import PretrainedEncoder
from sdiwm_model.sizes import ModelSize, find_size
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.config import TrainingConfig, unknown, wrong_type
from sdiwm_model.world_model import WorldModel

IMAGE_BRANCH = (
    "encoder",
    "image_size",
    "cameras",
    "channels",
    "keypoints",
    "proprio",
    "goals",
    "conditioning",
    "goal_image",
)
SAME_TASK = ("name", "dt", "goals", "action_limit", "cost_unit", "goal_modality", "cameras")


def open_data(folders: Sequence[Path]) -> ShardReader:
    """The folders' episodes.

    Raises:
        SdiwmError: a folder is missing or damaged, or holds another task or other shapes.
    """
    reader = ShardReader(folders)
    for folder, manifest in zip(folders, reader.manifests, strict=True):
        for fact in SAME_TASK:
            here, there = manifest["task"].get(fact), reader.task.get(fact)
            if here != there:
                named = "task" if fact == "name" else f"the task's {fact}"
                raise SdiwmError(
                    f"{folder} holds {named} {here!r}, {folders[0]} holds {there!r}: "
                    "train on one task at a time"
                )
    if not reader.lengths:
        raise SdiwmError(f"{folders[0]} holds no episodes: collect some with `sdiwm collect`")
    return reader


def size_for(config: TrainingConfig, spec: EpisodeSpec) -> ModelSize:
    """The configured size with the widths that the data fixes, and the configured changes.

    Raises:
        SdiwmError: a change of an unknown field, of the wrong type, out of range, or one that the
            data contradicts.
    """
    height, width, channels = spec.image
    data = {
        "image_size": height,
        "cameras": channels // 3,
        "proprio": spec.proprio,
        "action": spec.action,
        "goals": spec.goals,
        "state": spec.state,
        "goal_image": spec.task.get("goal_modality") == "image",
    }
    if height != width:
        raise SdiwmError(f"the data's pictures are {width} x {height} pixels: collect square ones")
    follows = {name: value for name, value in data.items() if name != "image_size"}
    size = changed_size(find_size(config.size), follows | config.size_changes)
    for name, value in data.items():
        if getattr(size, name) != value:
            raise SdiwmError(
                f"training setting 'size.{name}' is {getattr(size, name)}, but the data has "
                f"{value}: set size.{name}={value}, choose another size, or collect other data"
            )
    return size


def changed_size(size: ModelSize, changes: dict[str, Any]) -> ModelSize:
    """A size with some fields changed; SdiwmError names one that is unknown or out of range."""
    where = "sdiwm_model/sizes.py"
    try:
        merged = OmegaConf.merge(OmegaConf.structured(size), changes)
    except ConfigKeyError as error:
        sentence = unknown(str(error.key), [f.name for f in fields(size)], where)
        raise SdiwmError(f"training setting 'size': {sentence}") from None
    except OmegaConfBaseException as error:
        sentence = wrong_type(error, ModelSize, changes)
        raise SdiwmError(f"training setting 'size': {sentence}") from None
    values = cast(dict[str, Any], OmegaConf.to_container(merged))
    plain: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return replace(size, **plain)


def check_start(
    config: TrainingConfig,
    size: ModelSize,
    init: Path | None,
    vision: Path | None = None,
    guided: bool = False,
) -> None:
    """Refuse settings that contradict one another.

    Args:
        guided: whether a teacher shows the prior what to propose.

    Raises:
        SdiwmError: naming the setting.
    """
    if init is not None and vision is not None:
        raise SdiwmError("--init has an image branch of its own: leave out --vision, or --init")
    if config.vision_steps == 0 and init is None and vision is None:
        raise SdiwmError(
            "training setting 'vision_steps' is 0, which leaves the image branch as chance made "
            "it: use more, or name trained weights with --init or --vision"
        )
    if config.picture_weight and (size.encoder != "keypoints" or size.cameras > 1):
        raise SdiwmError(
            f"training setting 'picture_weight' is {config.picture_weight}, but only keypoints of "
            "one camera can be drawn: set it to 0"
        )
    if config.prior_plans and not size.prior:
        raise SdiwmError(
            f"training setting 'prior_plans' is {config.prior_plans}, but the model has no prior: "
            "set size.prior=64, say, or prior_plans=0"
        )
    if size.prior and not config.prior_plans and init is None and not guided:
        raise SdiwmError(
            f"training setting 'size.prior' is {size.prior}, but 'prior_plans' is 0, which leaves "
            "the prior as chance made it: set prior_plans=6000, say, or size.prior=0"
        )


def initial_model(
    init: Path, size: ModelSize, task: dict[str, Any], seed: int
) -> tuple[WorldModel, Manifest]:
    """The weights to start from, and their manifest; a prior that they lack starts at random.

    Raises:
        SdiwmError: they are of another task or size; what differs is named.
    """
    trained, origin = load_model(init)
    check_initial(origin, init, size, task)
    if origin.sizes == size:
        return trained, origin
    torch.manual_seed(seed)
    model = WorldModel(size)
    model.load_state_dict(trained.state_dict(), strict=False)
    return model, origin


def model_with_vision(
    vision: Path, size: ModelSize, task: dict[str, Any], seed: int
) -> tuple[WorldModel, Manifest]:
    """A new model with the image branch and the language of other weights, and their manifest.

    Raises:
        SdiwmError: they are of another task, or see or hear otherwise; what differs is named.
    """
    trained, origin = load_model(vision)
    check_task(origin, vision, task)
    _check_same(origin.sizes, vision, size, IMAGE_BRANCH)
    torch.manual_seed(seed)
    model = WorldModel(size)
    parts = ("vision.", "places.", "language.", "fusion.proprio_")
    taken = {k: v for k, v in trained.state_dict().items() if k.startswith(parts)}
    model.load_state_dict(taken, strict=False)
    return model, origin


def fresh_model(size: ModelSize, data: Experience) -> WorldModel:
    """A model of random weights that knows the mean and the spread of the joints."""
    model = WorldModel(size)
    model.fusion.proprio_mean.copy_(data.proprio.mean(dim=0))
    model.fusion.proprio_std.copy_(data.proprio.std(dim=0))
    return model


def model_with_pretrained(
    encoder: PretrainedEncoder, size: ModelSize, data: Experience, seed: int
) -> WorldModel:
    """A fresh model, of the same random weights as without, but for the image encoder's."""
    torch.manual_seed(seed)
    model = fresh_model(size, data)
    encoder.put_into(model.vision)
    return model


def check_initial(origin: Manifest, init: Path, size: ModelSize, task: dict[str, Any]) -> None:
    """Refuse weights of another task, or of another size but for a prior that they lack.

    Raises:
        SdiwmError: naming what differs.
    """
    check_task(origin, init, task)
    sizes = origin.sizes
    if not sizes.prior:
        sizes = replace(sizes, prior=size.prior, plan_horizon=size.plan_horizon)
    _check_same(sizes, init, size, tuple(f.name for f in fields(size)))


def check_task(origin: Manifest, weights: Path, task: dict[str, Any]) -> None:
    """Refuse weights of another task than the data's."""
    if origin.task != task["name"]:
        raise SdiwmError(
            f"{weights} is a model of task '{origin.task}', the data holds '{task['name']}': "
            "name weights of the same task"
        )


def check_data_fits(origin: Manifest, weights: Path, spec: EpisodeSpec) -> None:
    """Refuse weights that see, move or are told goals otherwise than the data.

    Raises:
        SdiwmError: naming what differs.
    """
    check_task(origin, weights, dict(spec.task))
    height, _, channels = spec.image
    sizes, task = origin.sizes, spec.task
    facts = {
        "goals": (origin.goals, tuple(task["goals"])),
        "action_limit": (origin.action_limit, tuple(task["action_limit"])),
        "dt": (origin.dt, task["dt"]),
        "image_size": (sizes.image_size, height),
        "cameras": (sizes.cameras, channels // 3),
        "proprio": (sizes.proprio, spec.proprio),
        "action": (sizes.action, spec.action),
        "goal_image": (sizes.goal_image, task.get("goal_modality") == "image"),
    }
    for name, (ours, theirs) in facts.items():
        if ours != theirs:
            raise SdiwmError(
                f"the data has {name} {theirs}, but {weights} is a model of {name} {ours}: name "
                "the data that it learned from, or another model"
            )


def _check_same(found: ModelSize, weights: Path, size: ModelSize, names: Sequence[str]) -> None:
    for name in names:
        wanted, there = getattr(size, name), getattr(found, name)
        if wanted != there:
            raise SdiwmError(
                f"training setting 'size.{name}' is {wanted}, but {weights} has {there}: "
                f"set size.{name}={_plain(there)}, or start without these weights"
            )


def _plain(value: object) -> str:
    return str(list(value)).replace(" ", "") if isinstance(value, tuple) else str(value)
