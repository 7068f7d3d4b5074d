"""The seam at which another model takes part in a run."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from sdiwm_model.training.batches import Experience
from sdiwm_model.training.stages import Stage
from sdiwm_model.world_model import WorldModel


class Guide(Protocol):
    """Changes the losses of a run's stages."""

    def identity(self) -> dict[str, Any]:
        """Who guides and how: what a resumed run must share with the one that was stopped."""

    def vision(self, stage: Stage, model: WorldModel, data: Experience) -> Stage:
        """``stage`` with other losses on image features."""

    def world(self, stage: Stage, model: WorldModel, data: Experience, features: Tensor) -> Stage:
        """``stage`` with losses on latents and plans added; features (N, E) are the model's."""

    def about(self) -> dict[str, Any]:
        """What the manifest's provenance gets besides, when all is done."""
