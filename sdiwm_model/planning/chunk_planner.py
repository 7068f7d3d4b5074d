"""A planner that carries out a world-action model's chunks and never waits for one."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from sdiwm_model.planning.chunks import ChunkStream
from sdiwm_model.planning.protocols import Array, Plan, PlannerSettings, Sighting
from sdiwm_model.wam.sizes import WamSize


class ChunkPlanner:
    """See planning.protocols.TimedPlanner; what `plan` costs is not known, and told as NaN.

    Until an episode's first chunk is there the robot stands still: zeros.

    Args:
        stream: of single chunks.
        settings: of which only the horizon counts: the rows of a plan, a chunk's at most.
        size: of the model that makes the chunks.
        dt: seconds of a model step.
    """

    def __init__(
        self, stream: ChunkStream, settings: PlannerSettings, size: WamSize, dt: float
    ) -> None:
        self.settings = replace(settings, horizon=min(settings.horizon, size.chunk))
        self._stream, self._dt = stream, dt
        self._rest = np.zeros((self.settings.horizon, size.action), np.float32)
        self._now = 0.0

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """One model step after the call before; see `plan_at`."""
        self._now += self._dt
        return self.plan_at(Sighting(z, self._now, z, self._now), c, warm_start)

    def plan_at(self, sighting: Sighting, c: Array, warm_start: Array | None) -> Plan:
        """What is left of the chunk in force; the warm start is of no use to it."""
        began = time.perf_counter()
        took = self._stream.follow(sighting, c, self._in_force)
        actions = self._in_force(sighting.acts)
        if actions is None:
            actions = self._rest
        elapsed = time.perf_counter() - began
        stream, shown = self._stream, actions[: self.settings.horizon]
        return Plan(shown, math.nan, elapsed, took, stream.age, bool(took) and stream.late)

    def _in_force(self, at: float) -> Array | None:
        chunks = self._stream.remaining(at)
        return None if chunks is None else chunks[0]
