"""Times of many calls, measured in turn: a noisy machine hits all of them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

BURST_S = 0.05  # of a turn, in which a call is repeated: its caches are warm, as in control
BURST_CALLS = 20
LEAST_TURNS = 5


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def round_robin(
    calls: Mapping[Name, Callable[[], object]], seconds: float, seed: int
) -> dict[Name, list[float]]:
    """Milliseconds of every call, in rounds in which each has a turn, in a random order.

    A turn begins with a call that is not counted, to fill the caches.

    Args:
        seconds: for each call on average, and at least `LEAST_TURNS` turns.
    """
    rng = np.random.default_rng(seed)
    names = list(calls)
    times: dict[Name, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds * len(names)
    turns = 0
    while turns < LEAST_TURNS or time.perf_counter() < end:
        for index in rng.permutation(len(names)):
            times[names[index]] += _turn(calls[names[index]])
        turns += 1
    return times


def _turn(call: Callable[[], object]) -> list[float]:
    call()
    times: list[float] = []
    end = time.perf_counter() + BURST_S
    while not times or (len(times) < BURST_CALLS and time.perf_counter() < end):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    return times
