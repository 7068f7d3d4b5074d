"""The steps that a recipe may name: each makes one run folder of another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from sdiwm_model.compression.copies import calibrate, change_planner
from sdiwm_model.compression.distil import distil
from sdiwm_model.compression.prune import PruneSettings, prune, pruned_size
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.fine_tuned import compress_run
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import ModelSize
from sdiwm_model.training.checks import check_start, size_for
from sdiwm_model.training.config import TrainingConfig, configure, unknown, wrong_type

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Foreseen:
    """What is known of a model before any step has run.

    name        what to call it in a sentence
    sizes       its widths
    planner     the planner settings of its manifest
    calibrated  whether its folder holds calibration data
    data        the data, where there is some
    """

    name: str
    sizes: ModelSize
    planner: PlannerSettings
    calibrated: bool
    data: ShardReader | None

    def need_gru(self, what: str) -> None:
        """Refuse ``what`` of a model that the integer engine cannot run."""
        kind = self.sizes.dynamics_kind
        if kind != "gru":
            raise SdiwmError(
                f"{what}: the dynamics of {self.name} is a {kind}, and the integer engine runs a "
                "GRU: put a step 'distil' to a size that has one before it"
            )

    def need_calibration(self, what: str) -> None:
        """Refuse ``what`` of a folder without calibration data."""
        if not self.calibrated:
            raise SdiwmError(
                f"{what}: {self.name} holds no calibration.safetensors: name a folder that 'sdiwm "
                "train' wrote, or put a step 'calibrate', 'prune' or 'distil' before it"
            )


class Step(Protocol):
    """One step, with its settings."""

    name: str
    needs_data: bool

    def settings(self) -> dict[str, Any]:
        """All that changes its result, for JSON."""

    def foresee(self, before: Foreseen) -> Foreseen:
        """What the step makes of such a model; SdiwmError where it cannot."""

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        """Make the run folder ``out`` of ``source``; stopped, it goes on with the same call."""

    def shortened(self, share: float) -> Self:
        """The same with this share of its updates, at least one of each kind that it has."""


@dataclass(frozen=True)
class Distil:
    """A student of another size, taught by the model: `compression.distil`."""

    config: TrainingConfig
    name = "distil"
    needs_data = True

    def settings(self) -> dict[str, Any]:
        return asdict(self.config)

    def foresee(self, before: Foreseen) -> Foreseen:
        assert before.data is not None
        sizes = size_for(self.config, before.data.spec)
        check_start(self.config, sizes, init=None, guided=True)
        self.config.check_against(min(before.data.lengths))
        return Foreseen("the student", sizes, self.config.planner, True, before.data)

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        distil(source, data, out, self.config, seed)

    def shortened(self, share: float) -> Self:
        return replace(self, config=_shortened(self.config, TRAINING_UPDATES, share))


@dataclass(frozen=True)
class Prune:
    """The model without the units that matter least: `compression.prune`."""

    given: PruneSettings
    name = "prune"
    needs_data = True

    def settings(self) -> dict[str, Any]:
        return asdict(self.given)

    def foresee(self, before: Foreseen) -> Foreseen:
        sizes = pruned_size(before.sizes, self.given.ratio)
        return replace(before, name="the pruned model", sizes=sizes, calibrated=True)

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        prune(source, data, out, self.given, seed)

    def shortened(self, share: float) -> Self:
        updates = ("vision_updates", "world_updates", "prior_plans")
        return replace(self, given=_shortened(self.given, updates, share))


@dataclass(frozen=True)
class FineTune:
    """Weights that know their rounding: `export.fine_tuned`. updates: of the weights."""

    updates: int = 300
    name = "fine_tune"
    needs_data = False

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise SdiwmError(f"setting 'updates' is {self.updates}: use 1 or more")

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def foresee(self, before: Foreseen) -> Foreseen:
        before.need_gru("step 'fine_tune'")
        before.need_calibration("step 'fine_tune'")
        return before

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        compress_run(source, out, self.updates, seed)

    def shortened(self, share: float) -> Self:
        return _shortened(self, ("updates",), share)


@dataclass(frozen=True)
class Calibrate:
    """Pictures, rollouts and goals of the data, from which int8 ranges are measured."""

    name = "calibrate"
    needs_data = True

    def settings(self) -> dict[str, Any]:
        return {}

    def foresee(self, before: Foreseen) -> Foreseen:
        return replace(before, calibrated=True)

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        calibrate(source, data, out, seed)

    def shortened(self, share: float) -> Self:
        return self


@dataclass(frozen=True)
class Plan:
    """Other planner settings: {candidates: 64, horizon: 12}."""

    changes: dict[str, Any]
    name = "planner"
    needs_data = False

    def settings(self) -> dict[str, Any]:
        return self.changes

    def foresee(self, before: Foreseen) -> Foreseen:
        return replace(before, planner=replace(before.planner, **self.changes))

    def run(self, source: Path, data: Sequence[Path], out: Path, seed: int) -> None:
        change_planner(source, out, self.changes)

    def shortened(self, share: float) -> Self:
        return self


TRAINING_UPDATES = ("vision_steps", "world_steps", "prior_steps", "language_steps")


def read_step(name: str, content: Mapping[str, Any], task: str) -> Step:
    """The step called ``name`` with the settings that a recipe gives it.

    Args:
        task: whose training settings a distillation changes.

    Raises:
        SdiwmError: no such step or setting, or a value of the wrong type or out of range.
    """
    if name not in READERS:
        raise SdiwmError(f"there is no step '{name}': choose from {', '.join(READERS)}")
    try:
        return READERS[name](content, task)
    except SdiwmError as error:
        raise SdiwmError(f"step '{name}': {error}") from None


def _distil(content: Mapping[str, Any], task: str) -> Step:
    settings = [f"{setting}={json.dumps(value)}" for setting, value in content.items()]
    try:
        return Distil(configure(settings, task))
    except SdiwmError as error:
        raise SdiwmError(str(error).removeprefix("--set ")) from None


def _prune(content: Mapping[str, Any], task: str) -> Step:
    return Prune(parsed(PruneSettings, content))


def _fine_tune(content: Mapping[str, Any], task: str) -> Step:
    return parsed(FineTune, content)


def _calibrate(content: Mapping[str, Any], task: str) -> Step:
    return parsed(Calibrate, content)


def _planner(content: Mapping[str, Any], task: str) -> Step:
    checked = asdict(parsed(PlannerSettings, content))
    return Plan({name: checked[name] for name in content})


READERS = {
    "distil": _distil,
    "prune": _prune,
    "fine_tune": _fine_tune,
    "calibrate": _calibrate,
    "planner": _planner,
}


def parsed(kind: type[Settings], content: Mapping[str, Any]) -> Settings:
    """A flat dataclass of settings, filled from YAML.

    Raises:
        SdiwmError: an unknown field, a value of the wrong type, or one that the class refuses.
    """
    schema: Any = kind
    try:
        merged = OmegaConf.merge(OmegaConf.create(OmegaConf.structured(schema)), dict(content))
        return kind(**cast(dict[str, Any], OmegaConf.to_container(merged)))
    except ConfigKeyError as error:
        known = [f.name for f in fields(schema)]
        raise SdiwmError(unknown(str(error.key), known, "config/compression")) from None
    except OmegaConfBaseException as error:
        raise SdiwmError(wrong_type(error, schema, dict(content))) from None


def _shortened(settings: Settings, names: Sequence[str], share: float) -> Settings:
    """``settings`` with this share of the updates in the fields ``names``; none stays none."""
    given: Any = settings
    counts = {name: getattr(given, name) for name in names}
    fewer = {name: count and max(1, round(share * count)) for name, count in counts.items()}
    return cast(Settings, replace(given, **fewer))
