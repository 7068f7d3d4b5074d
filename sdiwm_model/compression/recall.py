"""An image branch that has lost units learns to tell again what it told with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdiwm_model.checkpoint import load_model
from sdiwm_model.compression.slicing import slice_model
from sdiwm_model.losses import unexplained_share
from sdiwm_model.training.batches import Experience, frame_indices
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.stages import Loss, Stage
from sdiwm_model.world_model import WorldModel

SAMPLE = 1024  # pictures that tell how much each feature varies


class Recall:
    """The image branch of a whole model, as `training.guide.Guide` of a pruned one.

    Args:
        source: run or bundle of the whole model.
        maps: its keypoints that the pruned one still has, by the name of their group.
        config: how the pruned one is trained.
    """

    def __init__(
        self, source: Path, maps: Mapping[str, Sequence[int]], config: TrainingConfig
    ) -> None:
        whole, self._origin = load_model(source)
        self._branch = slice_model(whole, maps).vision.requires_grad_(False)
        self._maps, self._config = maps, config

    def identity(self) -> dict[str, Any]:
        return {"of": self._origin.model_hash, "maps": dict(self._maps)}

    def vision(self, stage: Stage, model: WorldModel, data: Experience) -> Stage:
        return RecallingVision(stage, model.vision, self._branch, data, self._config.vision_batch)

    def world(self, stage: Stage, model: WorldModel, data: Experience, features: Tensor) -> Stage:
        return stage

    def about(self) -> dict[str, Any]:
        return {}


class RecallingVision:
    """The vision stage: features are what the whole branch makes them.

    What reads the features was trained on those, and goes on from there. New readers, as a run
    from scratch has them, would first drive the features away.
    """

    def __init__(
        self, stage: Stage, vision: nn.Module, whole: nn.Module, data: Experience, batch: int
    ) -> None:
        self.name, self.steps, self.learning_rate = stage.name, stage.steps, stage.learning_rate
        self._vision, self._whole = vision, whole
        self._frames, self._batch = data.frames, batch
        draw = torch.Generator().manual_seed(0)
        self._variance = whole(self._draw(SAMPLE, draw)).var(dim=0)

    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"vision": self._vision})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        pictures = self._draw(self._batch, generator)
        part = unexplained_share(self._vision(pictures), self._whole(pictures), self._variance)
        return Loss(part, {"features": part})

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        return self._frames[frame_indices(len(self._frames), count, generator)]
