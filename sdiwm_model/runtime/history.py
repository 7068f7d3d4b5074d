"""What a model with several frames remembers of the pictures before the newest one."""

from __future__ import annotations

import numpy as np

from sdiwm_model.planning.protocols import Array


class FeatureHistory:
    """The last image features, newest first; the first one stands in for those before it.

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
        return np.concatenate(self._features)
