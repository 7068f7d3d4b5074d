"""What a training run is told: config/training/*.yaml, then what --set changes of it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.share import share_file
from sdiwm_model.sizes import find_size

DEFAULT = "config/training/default.yaml"
T = TypeVar("T")
CHOICES = {
    "anti_collapse": ("vicreg", "sigreg"),
    "wandb": ("off", "offline", "online"),
}
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a word",
    "dict[str, Any]": "fields of the size, as in {latent: 16}",
    "PlannerSettings": "the planner's settings, as in {horizon: 32}",
    "Distillation": "the distillation's settings, as in {ranking_weight: 0.1}",
    "tuple[int, int]": "two whole numbers, as in [16,16]",
}
SECTIONS = {"planner": "PlannerSettings", "distillation": "Distillation"}
MOST = {"curriculum": 1.0, "drift_discount": 1.0}
LEAST = {
    "horizon": 1,
    "long_horizon": 1,
    "prior_steps": 1,
    "save_every": 1,
    "vision_batch": 2,
    "world_batch": 2,
}


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """What a teacher adds to a run, see `compression.distil`; the file has units and meanings."""

    features_weight: float = 0.0
    latents_weight: float = 0.05
    rollouts_weight: float = 0.05
    ranking_weight: float = 0.02
    prior_weight: float = 1.0
    batch: int = 64
    plans: int = 1000
    iterations: int = 3
    searched: int = 128
    ranked: int = 32
    sets: int = 8

    def __post_init__(self) -> None:
        least = {"plans": 2, "searched": 2, "ranked": 2}
        for name, value in vars(self).items():
            low = 0 if name.endswith("_weight") else least.get(name, 1)
            if not low <= value <= sys.float_info.max:
                raise SdiwmError(f"training setting 'distillation.{name}' is {value}: use >= {low}")
        if self.ranked > self.searched:
            raise SdiwmError(
                f"training setting 'distillation.ranked' is {self.ranked}, but only "
                f"'distillation.searched' = {self.searched} candidates are there: use fewer"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one run. config/training/default.yaml has their values, units and meanings."""

    size: str
    size_changes: dict[str, Any]
    language_steps: int
    vision_steps: int
    world_steps: int
    vision_batch: int
    world_batch: int
    prior_plans: int
    prior_steps: int
    vision_learning_rate: float
    world_learning_rate: float
    horizon: int
    long_horizon: int
    curriculum: float
    elsewhere_span: int
    discount: float
    picture_weight: float
    drift_weight: float
    drift_discount: float
    joints_weight: float
    scene_weight: float
    precise_scene: bool
    places_weight: float
    inverse_weight: float
    state_weight: float
    anti_collapse: str
    anti_collapse_weight: float
    saturation_weight: float
    value_weight: float
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    distillation: Distillation = field(default_factory=Distillation)
    save_every: int
    wandb: str

    def __post_init__(self) -> None:
        find_size(self.size)
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, (int, float)):
                least, most = LEAST.get(name, 0), MOST.get(name, sys.float_info.max)
                if not least <= value <= most:
                    allowed = f"use >= {least}" + (f" and <= {most}" if name in MOST else "")
                    raise SdiwmError(f"training setting '{name}' is {value}: {allowed}")
            elif name in CHOICES and value not in CHOICES[name]:
                raise SdiwmError(
                    f"training setting '{name}' is '{value}': use one of {', '.join(CHOICES[name])}"
                )
        if self.discount >= 1.0:
            raise SdiwmError(f"training setting 'discount' is {self.discount}: use 0 to below 1")
        if self.long_horizon < self.horizon:
            raise SdiwmError(
                f"training setting 'long_horizon' is {self.long_horizon}, shorter than 'horizon', "
                f"which is {self.horizon}: make one of them fit the other"
            )

    def check_against(self, steps: int) -> None:
        """Refuse rollouts that are longer than the shortest episode, of ``steps`` model steps."""
        for name in ("horizon", "long_horizon"):
            if getattr(self, name) + 2 > steps:
                raise SdiwmError(
                    f"training setting '{name}' is {getattr(self, name)}, but the shortest episode "
                    f"has {steps} model steps: use at most {steps - 2}"
                )

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the one that was stopped.

        Those of the distillation only where there is one: `compression.distil` adds them.
        """
        free = ("save_every", "wandb", "distillation")
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in free and not name.endswith("_learning_rate")
        }

    def write(self, path: Path) -> None:
        """Write a file that `configure` reads back to the same settings."""
        with atomic_path(path) as temporary:
            temporary.write_text(OmegaConf.to_yaml(asdict(self)), encoding="utf-8")


def configure(
    settings: Sequence[str] = (), task: str | None = None, file: Path | None = None
) -> TrainingConfig:
    """The settings of a task's file, changed by a user's file, changed by --set.

    Args:
        settings: "name=value" each; "size.name=value" changes a field of the model's size.
        task: whose file beside default.yaml is taken, where it has one; else default.yaml.
        file: a user's; it need only say what differs, and may name others in a `defaults` list.

    Raises:
        SdiwmError: an unknown setting, or a value of the wrong type or out of range; the file is
            missing or unreadable.
    """
    default = share_file(DEFAULT)
    own = default.with_name(f"{task}.yaml")
    files = [own if own.is_file() else default, *([file] if file else [])]
    words = {section: KINDS[kind] for section, kind in SECTIONS.items()}
    return layered(TrainingConfig, DEFAULT, files, settings, words)


def layered(
    schema: type[T],
    default: str,
    files: Sequence[Path],
    settings: Sequence[str],
    sections: Mapping[str, str],
) -> T:
    """A dataclass of settings from ``files``, each changed by the next, then by ``settings``.

    Args:
        default: the file that explains all settings, in the folder whose files may be named.
        settings: "name=value" each; "size.name=value" goes to the schema's `size_changes`.
        sections: the schema's fields that are frozen dataclasses, and what to use for each.

    Raises:
        SdiwmError: an unknown setting, or a value that is missing, of the wrong type or out of
            range; a file is missing or unreadable.
    """
    ours = share_file(default).parent
    layers = [(str(path), composed(path, ours)) for path in files]
    layers += [(f"--set {setting}", parsed(setting)) for setting in settings]
    config: Any = OmegaConf.structured(schema)
    for section in sections:  # frozen as their classes are
        OmegaConf.set_readonly(config[section], False)
    for source, layer in layers:
        config = _merged(config, layer, source, schema, default, sections)
    try:
        return cast(T, OmegaConf.to_object(config))
    except OmegaConfBaseException as error:
        raise SdiwmError(
            f"setting '{error.full_key}' has no value ({first_line(error)}); give it one"
        ) from None


def composed(file: Path, ours: Path) -> DictConfig:
    """A file and all that its `defaults` list names, beside it or in the folder ``ours``."""
    if not file.is_file() or file.suffix != ".yaml":
        raise SdiwmError(f"{file} is no configuration: name a .yaml file as in {ours}")
    beside = "file://" + str(ours).replace("'", r"\'")
    try:
        with initialize_config_dir(str(file.parent.resolve()), version_base="1.3"):
            return compose(file.stem, overrides=[f"hydra.searchpath=['{beside}']"])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        reason = first_line(error)
        raise SdiwmError(f"{file} cannot be read ({reason}); {ours} has files that can") from None


def parsed(setting: str) -> DictConfig:
    """What one ``--set`` says; SdiwmError where it is not NAME=VALUE."""
    if "=" not in setting:
        raise SdiwmError(f"--set {setting}: write NAME=VALUE")
    try:
        return OmegaConf.from_dotlist([setting])
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise SdiwmError(f"--set {setting} cannot be read ({first_line(error)})") from None


def _merged(
    config: DictConfig,
    layer: DictConfig,
    source: str,
    schema: type[Any],
    where: str,
    sections: Mapping[str, str],
) -> DictConfig:
    """``config`` changed by ``layer``, which ``source`` says."""
    content = cast(dict[str, Any], OmegaConf.to_container(layer))
    if isinstance(content.get("size"), dict):
        content["size_changes"] = content.pop("size")
    for section, words in sections.items():
        if not isinstance(content.get(section, {}), dict):
            raise SdiwmError(f"{source}: setting '{section}' is {content[section]!r}: use {words}")
    if content.get("wandb") is False:  # what YAML reads a bare `off` as
        content["wandb"] = "off"
    try:
        return cast(DictConfig, OmegaConf.merge(config, content))
    except ConfigKeyError as error:
        raise SdiwmError(f"{source}: {unknown(str(error.key), config, where)}") from None
    except OmegaConfBaseException as error:
        raise SdiwmError(f"{source}: {wrong_type(error, schema, content)}") from None


def unknown(name: str, known: Iterable[object], where: str) -> str:
    """The sentence for a setting that is not among the ``known`` ones, explained in ``where``."""
    near = difflib.get_close_matches(name, map(str, known), n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown setting '{name}': {hint}{where} explains all there are"


def wrong_type(error: OmegaConfBaseException, schema: type[Any], content: dict[str, Any]) -> str:
    """The sentence for a value that its setting's type does not allow."""
    name = str(error.full_key).partition("[")[0].partition(".")[0]
    kinds = {f.name: KINDS.get(str(f.type), f"of type {f.type}") for f in fields(schema)}
    return f"setting '{name}' is {content.get(name)!r}: use {kinds[name]}"


def first_line(error: Exception) -> str:
    """What an error of OmegaConf, Hydra or YAML says, without its details."""
    text = str(error).partition("\n\n")[0].partition("\n    full_key")[0]
    return " ".join(text.split())
