"""Chunks of actions from a world-action model, made while earlier ones are carried out.

Real-time chunking (Black et al., 2025, with the prefix as a clean input as in their training-time
form): while a chunk is made, the robot goes on with the one in force. What it will have done until
the new chunk is there is therefore known beforehand, and given to the model as a prefix.

    sighting ─▶ one a model step ─▶ rolling cache ─▶ chunk, in a thread ─▶ in force from then on
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, Sighting
from sdiwm_model.wam.protocols import StepPair, WamEngine

Plans = Callable[[float], Array | None]
"""Actions (h, A), a model step a row, that are carried out from a moment (s) on; None: stand still.
"""
PUNCTUAL = 0.05  # of a model step: an observation so much too early is taken for the next one
FORGOTTEN = 2.5  # model steps without an observation, after which the older ones are forgotten
MEASURED = 32  # inferences whose longest is what the next one is expected to take


@dataclass(frozen=True)
class ChunkSettings:
    """When chunks are made, and how.

    steps   denoising steps, and the mode
    every   model steps from the start of one chunk to that of the next, at least
    delay   seconds that every chunk is made to take longer, to see what that costs
    count   chunks that are drawn at a time
    """

    steps: StepPair
    every: int = 1
    delay: float = 0.0
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("every", "count"):
            if getattr(self, name) < 1:
                raise SdiwmError(f"wam.{name} is {getattr(self, name)}: use 1 or more")
        if not 0.0 <= self.delay < math.inf:
            raise SdiwmError(f"wam.delay is {self.delay}: use 0 s or more")

    def check(self, chunk: int, dt: float) -> None:
        """Raise SdiwmError where ``chunk`` model steps of ``dt`` seconds are too short for them."""
        if self.every + self.delay / dt >= chunk:
            raise SdiwmError(
                f"a chunk lasts {chunk} model steps, {1e3 * chunk * dt:.0f} ms: a new one every "
                f"{self.every} model steps that is {1e3 * self.delay:.0f} ms late comes after its "
                "end; make them more often, or the delay shorter"
            )


class AtOnce(Executor):
    """Runs a job while it is handed over: the loop waits, and is the same each time."""

    def submit(self, job: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor`."""
        future: Future[Any] = Future()
        try:
            future.set_result(job(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def rows_from(actions: Array, steps: float) -> Array:
    """Actions (..., H, A) from `steps` model steps on, each held for one; the last is repeated.

    Held, not interpolated: so they were in what the model learnt from.
    """
    first = int(steps + PUNCTUAL)
    rows = np.minimum(np.arange(actions.shape[-2]) + first, actions.shape[-2] - 1)
    return actions[..., rows, :]


@dataclass(frozen=True)
class _Pending:
    """A chunk that is being made from what was seen at `seen`, to be taken over from `ready` on.

    rows: of its prefix.
    """

    future: Future[tuple[Array, float]]
    seen: float
    ready: float
    rows: int


class ChunkStream:
    """The chunks of one robot, (N, H, A) each, a model step a row.

    Args:
        engine: has nobody else who uses it at the same time as ``executor``.
        executor: does one job at a time, in their order: a thread, or `AtOnce`.
        dt: seconds of a model step.
        seed: of the noise that chunks are made of.

    Raises:
        SdiwmError: the settings and the model's chunk contradict each other.
    """

    def __init__(
        self, engine: WamEngine, executor: Executor, settings: ChunkSettings, dt: float, seed: int
    ) -> None:
        settings.check(engine.size.chunk, dt)
        self._engine, self._executor, self._settings, self._dt = engine, executor, settings, dt
        self._rng = np.random.default_rng(seed)
        self._durations: deque[float] = deque(maxlen=MEASURED)
        self._goal: int | None = None
        self._seen = -math.inf
        self._next = -math.inf  # when the next observation is due
        self._steps = 0  # model steps since the last chunk was begun
        self._pending: _Pending | None = None
        self._chunks: Array | None = None
        self._began = 0.0  # when the first row of the chunks in force acts
        self._behind = 0.0  # when what they were made from was seen
        self.late = False  # whether they came into force after more than their prefix

    @property
    def age(self) -> float:
        """Seconds from what the chunks in force were made from to the newest observation."""
        return 0.0 if self._chunks is None else self._seen - self._behind

    def follow(self, sighting: Sighting, c: Array, in_force: Plans) -> float:
        """Look at the robot, take over chunks that are ready, and have the next one made.

        Args:
            in_force: what the robot does meanwhile.

        Returns:
            The seconds that the chunk took which came into force now; 0 without one.

        Raises:
            SdiwmError: another model's observation, or what went wrong in the making of a chunk.
        """
        width = self._engine.size.observation
        if sighting.z.shape != (width,):
            raise SdiwmError(
                f"an observation has shape {sighting.z.shape}, and the world-action model takes "
                f"{(width,)}: whoever observes must run the back end 'wam' or 'wam+mppi' too"
            )
        if self._is_new(sighting):
            self._forget(sighting)
        took = self._take_over(sighting)
        self._seen = sighting.seen
        if sighting.seen >= self._next - PUNCTUAL * self._dt:
            self._look(sighting, c, in_force)
            took = self._take_over(sighting) or took
        return took

    def remaining(self, at: float) -> Array | None:
        """What is left of the chunks in force (N, H, A) from ``at`` s on; None without any.

        Raises:
            SdiwmError: they are over, because no new ones came; they are forgotten then.
        """
        if self._chunks is None:
            return None
        steps = max(0.0, (at - self._began) / self._dt)
        if steps >= self._chunks.shape[1]:
            self._chunks = None
            raise SdiwmError(
                "the world-action model's chunk is over and the next one is not there: use fewer "
                "denoising steps, or a faster computer"
            )
        return rows_from(self._chunks, steps)

    def _is_new(self, sighting: Sighting) -> bool:
        gap = sighting.seen - self._seen
        return sighting.goal != self._goal or not 0.0 <= gap <= FORGOTTEN * self._dt

    def _forget(self, sighting: Sighting) -> None:
        self._executor.submit(self._engine.begin)
        self._goal, self._pending, self._chunks = sighting.goal, None, None
        self._next, self._steps = sighting.seen, self._settings.every

    def _look(self, sighting: Sighting, c: Array, in_force: Plans) -> None:
        """One model step's observation; with it a new chunk is begun, where it is time."""
        self._next += self._dt
        if self._next <= sighting.seen:
            self._next = sighting.seen + self._dt
        looked = self._executor.submit(self._engine.observe, sighting.z)
        if looked.done():
            looked.result()  # raises what went wrong
        if self._pending is None and self._steps >= self._settings.every:
            self._begin(sighting, np.array(c), in_force, looked)
            self._steps = 0
        self._steps += 1

    def _begin(self, sighting: Sighting, c: Array, in_force: Plans, looked: Future[None]) -> None:
        size = self._engine.size
        noise = self._rng.standard_normal(
            (self._settings.count, size.chunk, size.action), np.float32
        )
        prefix = self._prefix(sighting, in_force)
        asked = time.perf_counter()
        future = self._executor.submit(self._make, looked, c, noise, prefix, asked)
        ready = sighting.seen + self._settings.delay
        self._pending = _Pending(future, sighting.seen, ready, 0 if prefix is None else len(prefix))

    def _prefix(self, sighting: Sighting, in_force: Plans) -> Array | None:
        """What will be carried out until the chunk is there (k, A); None where that is nothing."""
        expected = self._settings.delay + max(self._durations, default=0.0)
        steps = (expected + sighting.acts - sighting.seen) / self._dt
        least = 0 if isinstance(self._executor, AtOnce) else 1  # a thread is never there at once
        rows = min(max(math.ceil(steps - PUNCTUAL), least), self._engine.size.chunk - 1)
        actions = in_force(sighting.seen) if rows > 0 else None
        return None if actions is None else actions[:rows]

    def _make(
        self, looked: Future[None], c: Array, noise: Array, prefix: Array | None, asked: float
    ) -> tuple[Array, float]:
        """Chunks (N, H, A) and the seconds since they were asked for; runs in the executor."""
        looked.result()
        steps = self._settings.steps
        if len(noise) == 1:
            made = self._engine.chunk(c, noise[0], steps, prefix)[None]
        else:
            made = self._engine.chunks(c, noise, steps, prefix)
        return made, time.perf_counter() - asked

    def _take_over(self, sighting: Sighting) -> float:
        pending, tolerance = self._pending, PUNCTUAL * self._dt
        if pending is None or not pending.future.done():
            return 0.0
        if sighting.seen < pending.ready - tolerance:
            return 0.0
        self._pending = None
        made, took = pending.future.result()
        if not np.isfinite(made).all():
            raise SdiwmError("the world-action model's chunk is not finite: check its weights")
        if not isinstance(self._executor, AtOnce):
            self._durations.append(took)
        if self._chunks is None:  # the robot has stood still so far: the chunk begins now
            self._began, self.late = sighting.acts, False
        else:
            self._began = pending.seen
            self.late = sighting.acts > pending.seen + pending.rows * self._dt + tolerance
        self._chunks, self._behind = made, pending.seen
        return took
