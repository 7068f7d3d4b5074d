"""From pictures and joints to latents on this machine; `mcu_observer` does it on a chip."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.planning.protocols import Array
from sdiwm_model.runtime.history import FeatureHistory

if TYPE_CHECKING:
    from sdiwm_model.runtime.protocols import Runtime


class HostObserver:
    """See runtime.protocols.Observer; features by `encode_image`, kept here."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._history = FeatureHistory(runtime.manifest.sizes.frames)
        self._features: Array | None = None

    def see(self, image: NDArray[np.uint8]) -> float:
        """See `Observer`; the time is this machine's."""
        start = time.perf_counter()
        features = self._runtime.encode_image(image)
        elapsed = time.perf_counter() - start
        self._features = self._history.add(features)
        return elapsed

    def latent(self, proprio: Array) -> Array:
        """See `Observer`."""
        assert self._features is not None, "see a picture first"
        return self._runtime.fuse(self._features, proprio)
