"""What may reach a motor: a guard for commands and a watchdog for silence. ROS-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_COMMAND_TIMEOUT = 0.1  # s: no configuration may let a command live longer

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The velocity (A,) rad/s that may be sent, and why it is not the one asked for (or "")."""

    velocity: Vector
    reason: str

    @property
    def safe_stop(self) -> bool:
        return bool(self.reason)


class CommandGuard:
    """Passes joint velocities within the limits; stops the arm on anything that is no command."""

    def __init__(self, limits: NDArray[np.floating]) -> None:
        """limits (A,) rad/s, positive."""
        self._limits = np.asarray(limits, dtype=np.float64)
        self.clipped = 0
        self.refused = 0

    def stop(self) -> Vector:
        """The safe command: every joint at rest."""
        return np.zeros_like(self._limits)

    def check(self, velocity: NDArray[np.floating]) -> Verdict:
        """Clip to the limits; a wrong shape, NaN or infinity becomes a safe stop, with words."""
        velocity = np.asarray(velocity, dtype=np.float64)
        if velocity.shape != self._limits.shape:
            self.refused += 1
            shape, asked = velocity.shape, self._limits.shape
            return Verdict(self.stop(), f"command of shape {shape}, the arm has {asked}")
        if not np.isfinite(velocity).all():
            self.refused += 1
            return Verdict(self.stop(), "command is not finite")
        clipped = np.clip(velocity, -self._limits, self._limits)
        self.clipped += bool((clipped != velocity).any())
        return Verdict(clipped, "")


class Watchdog:
    """Tells when nothing has been heard for `timeout` seconds. Times are of one clock, in s."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._heard: float | None = None

    def feed(self, now: float) -> None:
        self._heard = now

    def forget(self) -> None:
        """As if nothing had ever been heard."""
        self._heard = None

    def expired(self, now: float) -> bool:
        """Also True when nothing has ever been heard."""
        return self._heard is None or now - self._heard > self.timeout
