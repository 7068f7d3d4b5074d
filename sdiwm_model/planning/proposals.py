"""MPPI whose candidates a world-action model proposes, and the world model scores."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.chunks import ChunkStream, rows_from
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Array, Plan, Sighting, fit_horizon
from sdiwm_model.wam.sizes import WamSize

OTHERS = 3  # candidates that are the mean, rest and the prior's sequence


class ProposalPlanner:
    """See planning.protocols.TimedPlanner: a plan at every tick, with the newest proposals there.

    The first numbers of a latent are the world model's z, the others only the stream's. Until an
    episode's first chunks are there it is MPPI alone.

    Args:
        mppi: on the world model that scores.
        stream: of ``count`` chunks at a time.
        size: of the model that makes the chunks.
        dt: seconds of a model step.

    Raises:
        SdiwmError: there are fewer candidates than proposals.
    """

    def __init__(
        self, mppi: Mppi, stream: ChunkStream, count: int, size: WamSize, dt: float
    ) -> None:
        candidates = mppi.settings.candidates
        if candidates < count + OTHERS:
            raise SdiwmError(
                f"{count} proposals do not fit into planner.candidates = {candidates}: use "
                f"{count + OTHERS} candidates or more, or fewer proposals"
            )
        self.settings = mppi.settings
        self._mppi, self._stream, self._latent, self._dt = mppi, stream, size.latent, dt
        self._last: tuple[Array, float] | None = None
        self._now = 0.0

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """One model step after the call before; see `plan_at`."""
        self._now += self._dt
        return self.plan_at(Sighting(z, self._now, z, self._now), c, warm_start)

    def plan_at(self, sighting: Sighting, c: Array, warm_start: Array | None) -> Plan:
        """z (Z and what the stream takes), c (C,), warm_start (H, A) or None -> Plan."""
        began = time.perf_counter()
        if warm_start is None:
            self._last = None
        took = self._stream.follow(sighting, c, self._in_force)
        proposals = self._stream.remaining(sighting.acts)
        if proposals is not None:
            proposals = np.stack([fit_horizon(p, self.settings.horizon) for p in proposals])
        plan = self._mppi.plan_among(sighting.start[: self._latent], c, warm_start, proposals)
        self._last = plan.actions, sighting.acts
        return replace(plan, elapsed_s=time.perf_counter() - began, inference_s=took)

    def _in_force(self, at: float) -> Array | None:
        if self._last is None:
            return None
        actions, acts = self._last
        return rows_from(actions, max(0.0, at - acts) / self._dt)
