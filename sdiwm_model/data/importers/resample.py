"""Streams that tick each on their own, brought onto the grid of model steps. Times are in ns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError

Times = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """Samples in the order of time: stamps (N,) ns and values (N, width)."""

    stamps: Times
    values: Values

    @staticmethod
    def of(name: str, stamps: Sequence[int], values: Sequence[Sequence[float]]) -> Stream:
        """Sorted by time; of two samples with one stamp the later one stays.

        Raises:
            SdiwmError: no sample, or samples of different widths.
        """
        if not len(stamps):
            raise SdiwmError(f"{name}: no message was recorded")
        if len({len(value) for value in values}) > 1:
            raise SdiwmError(f"{name}: messages of different lengths were recorded")
        times = np.array(stamps, dtype=np.int64)
        order = np.argsort(times, kind="stable")
        last = np.append(np.diff(times[order]) > 0, True)
        return Stream(times[order][last], np.array(values, dtype=np.float64)[order][last])

    def at(self, times: Times) -> Values:
        """Values (T, width), linear between samples; `times` lie within the stream."""
        reference = self.stamps[0]
        x, known = times - reference, self.stamps - reference
        columns = [np.interp(x, known, column) for column in self.values.T]
        return np.stack(columns, axis=1) if columns else np.zeros((len(times), 0))

    def held(self, edges: Times) -> Values:
        """Time average (T, width) between `edges` (T + 1,) of values that hold until the next."""
        inner = self.stamps[(self.stamps > edges[0]) & (self.stamps < edges[-1])]
        points = np.unique(np.concatenate([edges, inner]))
        newest = np.maximum(np.searchsorted(self.stamps, points[:-1], side="right") - 1, 0)
        areas = self.values[newest] * np.diff(points)[:, None]
        totals = np.concatenate([np.zeros((1, areas.shape[1])), np.cumsum(areas, axis=0)])
        at_edges = totals[np.searchsorted(points, edges)]
        average: Values = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
        return average


def disorder(stamps: Sequence[int]) -> str:
    """What is wrong with the order of stamps, in words; empty where they ascend."""
    times = np.array(stamps, dtype=np.int64)
    late = int(np.sum(times[1:] < np.maximum.accumulate(times)[:-1])) if len(times) else 0
    twice = len(times) - len(np.unique(times))
    said = []
    if late:
        said.append(f"{late} of {len(times)} messages are stamped before an earlier one; sorted")
    if twice:
        said.append(f"{twice} stamps came again; the last message of each is kept")
    return "; ".join(said)


def nearest(stamps: Times, times: Times) -> NDArray[np.int64]:
    """For each of `times` (T,) the index of the nearest of `stamps` (N,), which are sorted."""
    right = np.clip(np.searchsorted(stamps, times), 1, max(1, len(stamps) - 1))
    left = right - 1
    right = np.minimum(right, len(stamps) - 1)
    closer = np.abs(stamps[right] - times) < np.abs(times - stamps[left])
    return np.where(closer, right, left)


def unbroken(start: int, stop: int, streams: Sequence[Times], gap: int) -> list[tuple[int, int]]:
    """The parts of [start, stop] in which no stream is silent for longer than `gap` ns."""
    parts = [(start, stop)]
    for stamps in streams:
        inside = stamps[(stamps >= start - gap) & (stamps <= stop + gap)]
        if not len(inside):
            return []
        breaks = np.flatnonzero(np.diff(inside) > gap)
        firsts = inside[np.concatenate([[0], breaks + 1])]
        lasts = inside[np.append(breaks, len(inside) - 1)]
        parts = [
            (max(a, int(first)), min(b, int(last)))
            for a, b in parts
            for first, last in zip(firsts, lasts, strict=True)
            if max(a, first) < min(b, last)
        ]
    return parts
