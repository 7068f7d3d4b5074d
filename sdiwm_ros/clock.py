"""Notices when the clock of the stamps jumps, by the one that cannot. ROS-free."""

from __future__ import annotations

import time
from collections.abc import Callable

FUTURE = 0.02  # s that a stamp may lie ahead of this process's clock
READING = 1_000_000  # ns between two readings of one pair: longer, and the pair says nothing


class ClockWatch:
    """Compares a clock with the monotonic one at every look.

    Args:
        clock: ns; the node's.
        simulated: the clock may stand still or be slow, and comes in steps: only going back,
            or running ahead by more than 250 ms, is a jump.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        simulated: bool = False,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._ahead = 250_000_000 if simulated else 20_000_000
        self._behind = None if simulated else self._ahead
        self._last: tuple[int, int] | None = None
        self.jumps = 0

    def look(self) -> float:
        """Seconds by which the clock has jumped since the last look; 0.0 where it has not."""
        before = self._monotonic()
        now = self._clock()
        if self._monotonic() - before > READING:
            return 0.0
        last, self._last = self._last, (before, now)
        if last is None:
            return 0.0
        gone = now - last[1]
        extra = gone - (before - last[0])
        back = gone < 0 if self._behind is None else extra < -self._behind
        if not back and extra <= self._ahead:
            return 0.0
        self.jumps += 1
        return extra * 1e-9
