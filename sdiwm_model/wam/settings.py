"""What the training of a world-action model is told: config/wam/*.yaml, then --set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.share import share_file
from sdiwm_model.sizes import ModelSize
from sdiwm_model.training.config import layered
from sdiwm_model.wam.flow import Draw
from sdiwm_model.wam.sizes import WamSize, size_for

DEFAULT = "config/wam/default.yaml"
COUNTS = ("anchor_chunks", "updates", "sequences", "chunks", "save_every")
FREE = ("save_every", "few_step_updates", "few_step_rate")  # what a resumed run may be told anew


@dataclass(frozen=True, kw_only=True)
class WamConfig:
    """Settings of one run; config/wam/default.yaml has their values, units and meanings."""

    size: str
    size_changes: dict[str, Any] = field(default_factory=dict)
    speeds: list[int] = field(default_factory=list)
    anchor_updates: int
    anchor_chunks: int
    anchor_rate: float
    updates: int
    sequences: int
    chunks: int
    learning_rate: float
    weight_decay: float
    average: float
    video_weight: float
    teacher_weight: float
    few_step_updates: int
    few_step_rate: float
    draw: Draw = field(default_factory=Draw)
    save_every: int

    def __post_init__(self) -> None:
        shares = {f"draw.{name}": value for name, value in vars(self.draw).items()}
        for name, value in (vars(self) | shares).items():
            if isinstance(value, (int, float)):
                low = 1 if name in COUNTS else 0
                high = 1.0 if name == "average" or name in shares else sys.float_info.max
                if not low <= value <= high:
                    raise SdiwmError(f"setting '{name}' is {value}: use {low} to {high:g}")
        if self.draw.clean_video + self.draw.noise_video > 1.0:
            raise SdiwmError("draw.clean_video and draw.noise_video are above 1 together: use less")

    def size_on(self, model: ModelSize) -> WamSize:
        """The configured size on the encoder of ``model``."""
        return size_for(model, self.size, **self.size_changes)

    def identity(self) -> dict[str, Any]:
        """What a resumed run must share with the one that was stopped."""
        return {name: value for name, value in asdict(self).items() if name not in FREE}

    def write(self, path: Path) -> None:
        """Write a file that `configure` reads back to the same settings."""
        with atomic_path(path) as temporary:
            temporary.write_text(OmegaConf.to_yaml(asdict(self)), encoding="utf-8")


def configure(settings: Sequence[str] = (), file: Path | None = None) -> WamConfig:
    """The settings of default.yaml, changed by a user's file, changed by --set.

    Raises:
        SdiwmError: an unknown setting, or a value of the wrong type or out of range; the file is
            missing or unreadable.
    """
    files = [share_file(DEFAULT), *([file] if file else [])]
    return layered(WamConfig, DEFAULT, files, settings, {"draw": "shares, as in {prefix: 0.5}"})
