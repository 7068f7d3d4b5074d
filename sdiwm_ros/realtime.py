"""Deadlines, hand-over of the newest value, and records of how well time was kept. ROS-free."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")


class LatestSlot(Generic[Value]):
    """Holds the newest value only: a slow reader skips what it missed, and that is counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: Value | None = None
        self.skipped = 0

    def put(self, value: Value) -> None:
        with self._changed:
            self.skipped += self._value is not None
            self._value = value
            self._changed.notify()

    def take(self, deadline: float | None = None) -> Value | None:
        """The newest value, removed; None when `deadline` (time.monotonic seconds) passes."""
        with self._changed:
            while self._value is None:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            value, self._value = self._value, None
            return value


class Deadlines:
    """Absolute deadlines, one period apart, on the monotonic clock.

    A late tick does not move those after it: the loop catches up. Only when it is more than
    `patience` periods behind does it start anew from now, and the lost periods are counted.
    """

    def __init__(self, period: float, patience: int = 20) -> None:
        self.period = period
        self.overruns = 0
        self.lost_periods = 0
        self._patience = patience
        self.next = time.monotonic()

    def restart(self) -> None:
        """The next deadline is one period from now."""
        self.next = time.monotonic() + self.period

    def remaining(self) -> float:
        """Seconds until the next deadline; negative when it has passed."""
        return self.next - time.monotonic()

    def advance(self) -> None:
        """Move to the following deadline after a tick; a whole period late is an overrun."""
        late = -self.remaining()
        self.next += self.period
        if late > self.period:
            self.overruns += 1
        if late > self._patience * self.period:
            self.lost_periods += int(late / self.period)
            self.restart()


class Samples:
    """The newest `capacity` samples of a quantity, and how many there ever were."""

    RECENT = 2048  # samples behind a percentile: about 8 s of a 250 Hz loop

    def __init__(self, capacity: int = RECENT) -> None:
        # Written to, so that the pages exist: a long run must not grow.
        self._values = np.full(capacity, np.nan, dtype=np.float64)
        self.count = 0

    def add(self, value: float) -> None:
        self._values[self.count % len(self._values)] = value
        self.count += 1

    def values(self) -> NDArray[np.float64]:
        """The samples kept, oldest first."""
        if self.count <= len(self._values):
            return self._values[: self.count].copy()
        return np.roll(self._values, -(self.count % len(self._values)))

    def percentiles(self, *shares: float) -> list[float]:
        """Percentiles of the recent samples, in their unit; NaN where there are none yet."""
        if not self.count:
            return [float("nan")] * len(shares)
        kept = min(self.count, len(self._values), self.RECENT)
        recent = self._values[np.arange(self.count - kept, self.count) % len(self._values)]
        return [float(value) for value in np.percentile(recent, shares)]


class Worker:
    """A thread that calls `work` until stopped; an exception in it is kept and ends it.

    `on_death` is called in the thread, so that a dead loop never goes unnoticed.
    """

    def __init__(
        self, name: str, work: Callable[[], None], on_death: Callable[[Exception], None]
    ) -> None:
        self._work = work
        self._on_death = on_death
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> bool:
        """Ask the loop to end and wait for it; False when it did not within `timeout` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._work()
        except Exception as error:
            self._on_death(error)


def quiet_collector() -> None:
    """Keep start-up's objects out of the garbage collector, whose full passes take > 10 ms."""
    gc.collect()
    gc.freeze()
