"""From pictures and joint states to latents, without ROS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_ros.signals import Array, Latent


class Observer:
    """Keeps the features of the newest picture and fuses every joint state with them."""

    def __init__(self, runtime: Runtime, image_timeout: Callable[[], float]) -> None:
        """image_timeout: says after how many seconds a picture is not trusted."""
        self._runtime = runtime
        self._timeout = image_timeout
        self._features: Array | None = None
        self._seen_ns = 0
        self._blindness = "no picture yet: is the camera publishing?"

    def see(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Encode a picture (H, W, 3) RGB; a refused one leaves no features: see `lose_sight`.

        Raises:
            SdiwmError: the wrong shape or type.
        """
        self._features = None
        self._features = self._runtime.encode_image(image)
        self._seen_ns = stamp_ns

    def lose_sight(self, reason: str) -> str:
        """Trust no picture until the next; what every joint state until then is refused with."""
        self._features = None
        self._blindness = f"the newest picture was refused: {reason}"
        return self._blindness

    def feel(self, proprio: Array, stamp_ns: int) -> Latent:
        """Fuse a joint state (P,) in rad and rad/s.

        Raises:
            SdiwmError: no picture, too old a picture, wrong shape or a value not finite.
        """
        if self._features is None:
            raise SdiwmError(self._blindness)
        age = (stamp_ns - self._seen_ns) * 1e-9
        timeout = self._timeout()
        if age > timeout:
            raise SdiwmError(
                f"the newest picture is more than {1000 * timeout:.0f} ms old: is the camera alive?"
            )
        return Latent(self._runtime.fuse(self._features, proprio), stamp_ns)
