"""Keeps every joint within its position, velocity and acceleration limits. ROS-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_ros.robot import RobotDescription

Vector = NDArray[np.float64]

REACTION = 0.02  # s that a velocity may act before it is checked again
LONGEST_STEP = 0.01  # s of acceleration that one command may use, however long ago the last was


class MotionLimiter:
    """Turns wanted velocities into ones that the robot may be given, one after the other.

    Towards a position limit at distance d a joint may move no faster than v with
    v * REACTION + v² / 2a = d: it can then still stop before it, braking at its acceleration
    limit a. Beyond a limit it may only move back.
    """

    def __init__(self, robot: RobotDescription) -> None:
        self._lower, self._upper = robot.lower, robot.upper
        self._fastest, self._acceleration = robot.velocity, robot.acceleration
        self._reserve = robot.acceleration * REACTION
        self.velocity: Vector = np.zeros(len(robot.joints))
        """What was let through last (J,)."""

    def limit(self, wanted: Vector, position: Vector, elapsed: float) -> Vector:
        """The velocity nearest to `wanted` (J,) that may be sent; it becomes `velocity`.

        Args:
            wanted: finite.
            position: of the joints now (J,).
            elapsed: seconds since the last call.
        """
        towards_upper = self._stoppable(self._upper - position)
        towards_lower = self._stoppable(position - self._lower)
        allowed = np.minimum(np.maximum(wanted, -towards_lower), towards_upper)
        self.velocity = self._step_to(allowed, elapsed)
        return self.velocity

    def slow_down(self, target: Vector, elapsed: float) -> Vector:
        """One step towards `target` (J,), where positions are not known; becomes `velocity`."""
        self.velocity = self._step_to(target, elapsed)
        return self.velocity

    def _stoppable(self, distance: Vector) -> Vector:
        """The fastest speed (J,) that can be braked within `distance` (J,), up to the limit."""
        room = 2.0 * self._acceleration * np.maximum(distance, 0.0)
        speed = np.sqrt(self._reserve**2 + room) - self._reserve
        return np.minimum(speed, self._fastest)

    def _step_to(self, target: Vector, elapsed: float) -> Vector:
        change = self._acceleration * min(max(elapsed, 0.0), LONGEST_STEP)
        return np.minimum(np.maximum(target, self.velocity - change), self.velocity + change)
