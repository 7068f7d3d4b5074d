"""Who plans: the microcontroller while it is well, else this host. ROS-free.

The host takes over as soon as no plan of the chip has come for `timeout`, and hands back once
plans have come without such a gap for `recovery`. Times `now` are seconds of time.monotonic.
"""

from __future__ import annotations

from threading import Lock


class Takeover:
    """At the start the host plans, until the chip has been well for `recovery`."""

    def __init__(self, timeout: float, recovery: float) -> None:
        self._timeout, self._recovery = timeout, recovery
        self._lock = Lock()
        self._heard: float | None = None
        self._well_since: float | None = None
        self._chip = False
        self.takeovers = 0
        self.returns = 0

    def heard(self, now: float) -> None:
        """The chip has sent a plan that can be used."""
        with self._lock:
            self._look(now)
            self._heard = now
            if self._well_since is None:
                self._well_since = now
            if not self._chip and now - self._well_since >= self._recovery:
                self._chip = True
                self.returns += 1

    def chip_plans(self, now: float) -> bool:
        """Whether the chip's plans are followed now; False: the host must plan."""
        with self._lock:
            self._look(now)
            return self._chip

    def _look(self, now: float) -> None:
        """Notice that the chip has fallen silent."""
        if self._heard is not None and now - self._heard > self._timeout:
            self._well_since = None
            self.takeovers += self._chip
            self._chip = False
