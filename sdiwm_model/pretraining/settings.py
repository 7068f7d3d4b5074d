"""What pre-training is told: config/pretraining/*.yaml, then what --set changes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.schedule import LoopSettings
from sdiwm_model.share import share_file
from sdiwm_model.sizes import ModelSize, find_size
from sdiwm_model.training.checks import changed_size
from sdiwm_model.training.config import layered

DEFAULT = "config/pretraining/default.yaml"
LOADERS = ("local", "ray")
MOST_LEFT = 0.1  # share of the target's first weights at the end: it is what is kept
RANGES: dict[str, tuple[float, float]] = {
    "past": (0, 1),
    "hidden": (0, 0.95),
    "momentum": (0, 1),
    "anti_collapse_weight": (0, 1e6),
    "predictor_width": (8, 1e5),
    "predictor_depth": (1, 1000),
    "predictor_heads": (1, 1000),
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """Settings of `objective.LatentPrediction`; the file has units and meanings."""

    past: float = 0.5
    hidden: float = 0.75
    momentum: float = 0.996
    anti_collapse_weight: float = 0.0
    predictor_width: int = 384
    predictor_depth: int = 6
    predictor_heads: int = 6

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise SdiwmError(
                    f"pre-training setting '{name}' is {getattr(self, name)}: use {low} to {high}"
                )
        if self.predictor_width % 8 or self.predictor_width % self.predictor_heads:
            raise SdiwmError(
                f"pre-training setting 'predictor_width' is {self.predictor_width}: use a multiple "
                f"of 8 and of 'predictor_heads' = {self.predictor_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig(ObjectiveSettings, LoopSettings):
    """All settings of one run; config/pretraining/default.yaml has values, units and meanings."""

    size: str
    size_changes: dict[str, Any] = field(default_factory=dict)
    frames: int = 8
    every: int = 1
    loader: str = LOADERS[0]

    def __post_init__(self) -> None:
        ObjectiveSettings.__post_init__(self)
        LoopSettings.__post_init__(self)
        if self.loader not in LOADERS:
            raise SdiwmError(
                f"pre-training setting 'loader' is '{self.loader}': use {' or '.join(LOADERS)}"
            )
        for name, least in (("frames", 2), ("every", 1)):
            if getattr(self, name) < least:
                raise SdiwmError(
                    f"pre-training setting '{name}' is {getattr(self, name)}: use at least {least}"
                )
        follow = (1 - self.momentum) * (1 - np.arange(self.updates) / self.updates)
        left = np.prod(1 - follow)
        if left > MOST_LEFT:
            raise SdiwmError(
                f"pre-training setting 'momentum' is {self.momentum}: after {self.updates} updates "
                f"{left:.0%} of the target would still be the random weights that it began with; "
                "lower it, or use more updates"
            )

    @property
    def span(self) -> int:
        """Consecutive pictures of the data that a clip reaches over."""
        return (self.frames - 1) * self.every + 1

    def size_for(self, spec: EpisodeSpec) -> ModelSize:
        """The configured size at the data's resolution.

        Raises:
            SdiwmError: the pictures are not square, or have several cameras, or the changes are
                wrong.
        """
        height, width, channels = spec.image
        if height != width or channels != 3:
            raise SdiwmError(
                f"the data's pictures are {width} x {height} x {channels}: pre-train on square "
                "ones of one camera"
            )
        size = replace(find_size(self.size), cameras=1)
        return changed_size(size, {**self.size_changes, "image_size": height})

    def write(self, path: Path) -> None:
        """Write a file that `configure` reads back to the same settings."""
        path.write_text(OmegaConf.to_yaml(asdict(self)), encoding="utf-8")


def configure(settings: Sequence[str] = (), file: Path | None = None) -> PretrainingConfig:
    """The settings of default.yaml, changed by a user's file, changed by --set.

    Raises:
        SdiwmError: an unknown setting, or a value of the wrong type or out of range; the file is
            missing or unreadable.
    """
    files = [share_file(DEFAULT), *([file] if file else [])]
    return layered(PretrainingConfig, DEFAULT, files, settings, {})
