"""What a model with several frames remembers of the pictures before the newest one."""

from __future__ import annotations

import numpy as np

from sdiwm_model.planning.protocols import Array

CHANGE = 8.0


class FeatureHistory:
    """The newest image features, then how they changed since each of those before.

    What moves changes features little in a model step, so the changes are enlarged `CHANGE` times:
    speeds would otherwise drown in positions, and in the rounding of integers. The first features
    stand in for those before them.

    Args:
        frames: how many; their pictures are one model step apart.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._features: list[Array] = []

    def add(self, features: Array) -> Array:
        """features (E,) of the newest picture -> (frames * E,), what `Runtime.fuse` takes."""
        older = self._features[:-1] if self._features else [features] * (self._frames - 1)
        self._features = [features, *older]
        changes = [np.float32(CHANGE) * (features - each) for each in self._features[1:]]
        return np.concatenate([features, *changes])
