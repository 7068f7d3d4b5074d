"""What latent prediction is told; config/pretraining/default.yaml has values and meanings."""

from __future__ import annotations

from dataclasses import dataclass

from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """Settings of `objective.LatentPrediction`."""

    past: float = 0.5
    hidden: float = 0.75
    momentum: float = 0.996
    anti_collapse_weight: float = 0.0
    predictor_width: int = 384
    predictor_depth: int = 6
    predictor_heads: int = 6

    def __post_init__(self) -> None:
        ranges = {"past": (0, 1), "hidden": (0, 0.95), "momentum": (0, 1)}
        for name, value in vars(self).items():
            low, high = ranges.get(name, (1 if name.startswith("predictor") else 0, 1e6))
            if not low <= value <= high:
                raise SdiwmError(f"pre-training setting '{name}' is {value}: use {low} to {high:g}")
        if self.predictor_width % 8 or self.predictor_width % self.predictor_heads:
            raise SdiwmError(
                f"pre-training setting 'predictor_width' is {self.predictor_width}: use a multiple "
                f"of 8 and of 'predictor_heads' = {self.predictor_heads}"
            )
