"""From pictures and joint states to latents, without ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_ros.clock import FUTURE, ClockWatch
from sdiwm_ros.signals import Array, Latent


@dataclass(frozen=True)
class SensorTimeouts:
    """Seconds after which a picture, and a joint state, are not trusted.

    A picture that is the same as the one before to the last bit is as old as that one, if a joint
    has moved by more than `frozen_motion` (rad or m) meanwhile.
    """

    image: float
    joints: float
    frozen_motion: float = 0.01


class FreezeWatch:
    """Notices a camera that shows the very same picture again and again while the robot moves.

    Sensors have noise, so that no two pictures are the same; a simulator's are, while nothing
    moves. Joints that have moved prove that the picture must have changed.
    """

    def __init__(self) -> None:
        self._picture = b""
        self._first_ns = 0
        self._position: Array | None = None
        self._position_then: Array | None = None

    def feel(self, proprio: Array) -> None:
        """proprio (P,): positions, then velocities."""
        self._position = proprio[: len(proprio) // 2]
        if self._position_then is None:
            self._position_then = self._position

    def look(self, image: NDArray[np.uint8], stamp_ns: int) -> tuple[float, float]:
        """For how long pictures have been the same as this one, s, and how far a joint has moved
        since the first of them, rad or m.
        """
        picture = image.tobytes()
        if picture != self._picture:
            self._picture, self._first_ns = picture, stamp_ns
            self._position_then = None  # what is felt from now on: joint states may be lost
        if self._position is None or self._position_then is None:
            return 0.0, 0.0
        moved = np.abs(self._position - self._position_then).max(initial=0.0)
        return (stamp_ns - self._first_ns) * 1e-9, float(moved)


class Observer:
    """Keeps the features of the newest picture and fuses every joint state with them.

    Args:
        timeouts: asked at every sample, so that they may change.
        clock: that of the stamps, ns.
        watch: notices when that clock jumps; what was seen before is then forgotten.
    """

    def __init__(
        self,
        runtime: Runtime,
        timeouts: Callable[[], SensorTimeouts],
        clock: Callable[[], int],
        watch: ClockWatch,
    ) -> None:
        self._runtime = runtime
        self._timeouts = timeouts
        self._clock = clock
        self._watch = watch
        self._freeze = FreezeWatch()
        self._features: Array | None = None
        self._seen_ns = 0
        self._blindness = "no picture yet: is the camera publishing?"

    @property
    def clock_jumps(self) -> int:
        return self._watch.jumps

    def see(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Encode a picture (H, W, 3) RGB; a refused one leaves no features: see `lose_sight`.

        Raises:
            SdiwmError: the wrong shape or type, a stamp that cannot be trusted, or a picture that
                has not changed though it must have.
        """
        self._features = None
        self._look_at_clock()
        timeouts = self._timeouts()
        self._check_stamp("picture", stamp_ns, timeouts.image)
        features = self._runtime.encode_image(image)
        same_for, moved = self._freeze.look(image, stamp_ns)
        if same_for > timeouts.image and moved > timeouts.frozen_motion:
            raise SdiwmError(
                f"it has not changed for {1000 * timeouts.image:.0f} ms while a joint moved: is "
                "the camera frozen?"
            )
        self._features = features
        self._seen_ns = stamp_ns

    def lose_sight(self, reason: str) -> str:
        """Trust no picture until the next; what every joint state until then is refused with."""
        self._features = None
        self._blindness = f"the newest picture was refused: {reason}"
        return self._blindness

    def feel(self, proprio: Array, stamp_ns: int) -> Latent:
        """Fuse a joint state (P,) in rad and rad/s.

        Raises:
            SdiwmError: no picture, too old a picture, wrong shape, a value not finite, or a stamp
                that cannot be trusted.
        """
        self._look_at_clock()
        timeouts = self._timeouts()
        self._check_stamp("joint state", stamp_ns, timeouts.joints)
        self._freeze.feel(proprio)
        if self._features is None:
            raise SdiwmError(self._blindness)
        if (stamp_ns - self._seen_ns) * 1e-9 > timeouts.image:
            raise SdiwmError(
                f"the newest picture is more than {1000 * timeouts.image:.0f} ms old: is the "
                "camera alive?"
            )
        return Latent(self._runtime.fuse(self._features, proprio), stamp_ns, self._seen_ns)

    def _look_at_clock(self) -> None:
        jump = self._watch.look()
        if jump:
            self._features = None
            self._freeze = FreezeWatch()
            self._blindness = f"the clock jumped by {jump:.2f} s: waiting for the next picture"

    def _check_stamp(self, what: str, stamp_ns: int, timeout: float) -> None:
        age = (self._clock() - stamp_ns) * 1e-9
        if age < -FUTURE:
            raise SdiwmError(
                f"the {what} is stamped {-1000 * age:.0f} ms in the future: do sensor and host "
                "share one clock?"
            )
        if age > timeout:
            raise SdiwmError(f"the {what} is already {1000 * age:.0f} ms old when it arrives")
