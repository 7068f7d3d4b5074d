"""Moves a latent on to the moment at which an action planned from it will act. ROS-free.

Between an observation and the action that answers it the robot moves on, with commands that are
known. The model's own dynamics says where to; the plan then starts there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdiwm_ros.signals import Array, Latent

REMEMBERED = 64  # commands: a quarter of a second at 250 Hz
NEGLIGIBLE = 1e-3  # s: the robot moves no further than its sensors err
SMOOTHING = 0.02  # weight of the newest measurement of the latency


class Rollout(Protocol):
    """The part of `sdiwm_model.runtime.protocols.Runtime` that is needed."""

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> imagined latents (T, Z)."""
        ...


@dataclass(frozen=True)
class Start:
    """Where a plan starts: latent z (Z,), and when, ns on the clock of the stamps."""

    z: Array
    at_ns: int


class LatencyCompensation:
    """One per planner. Latencies in seconds, moments in ns on the clock of the stamps.

    Args:
        runtime: whose dynamics moves latents on.
        action_limit: (A,) rad/s of an action of 1.
        model_step: seconds of a step of the dynamics.
        actuation: seconds from sending a command until it acts.
        longest: seconds that a latent is moved on at most.
        hear: calls `sent` for what has gone to the robot since; called when that is needed.
    """

    def __init__(
        self,
        runtime: Rollout,
        action_limit: NDArray[np.floating],
        model_step: float,
        actuation: float,
        longest: float,
        hear: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._limit = np.asarray(action_limit, dtype=np.float64)
        self._step, self._actuation, self._longest = model_step, actuation, longest
        self._hear = hear
        self._sent: tuple[tuple[int, NDArray[np.float64]], ...] = ()
        self._answer: float | None = None

    @property
    def actuation(self) -> float:
        return self._actuation

    @property
    def latency(self) -> float:
        """From an observation until the action that answers it acts."""
        answer = 0.0 if self._answer is None else self._answer
        return min(max(answer + self._actuation, 0.0), self._longest)

    def sent(self, velocity: NDArray[np.floating], at_ns: int) -> None:
        """A command (A,) rad/s that has gone to the robot, whoever sent it."""
        self._sent = (*self._sent[1 - REMEMBERED :], (at_ns, velocity / self._limit))

    def answered(self, seconds: float) -> None:
        """A fresh plan's command was sent so long after its observation."""
        seconds = min(max(seconds, 0.0), self._longest)
        before = seconds if self._answer is None else self._answer
        self._answer = before + SMOOTHING * (seconds - before)

    def forget(self) -> None:
        """The clock has jumped: what was sent when is no longer known."""
        self._sent = ()

    def start(self, latent: Latent, c: Array) -> Start:
        """Where a plan on `latent` has to start."""
        latency = self.latency
        if latency < NEGLIGIBLE:
            return Start(latent.z, latent.stamp_ns)
        self._hear()
        steps = latency / self._step
        at_ns = latent.stamp_ns + round(latency * 1e9)
        whole = -int(-steps // 1)  # the last step may be a fraction
        actions = np.stack(
            [self._mean(latent.stamp_ns, k, min(k + 1, steps)) for k in range(whole)]
        )
        path = np.concatenate([latent.z[None], self._runtime.rollout(latent.z, actions, c)])
        fraction = steps - (whole - 1)
        return Start(path[-2] + np.float32(fraction) * (path[-1] - path[-2]), at_ns)

    def _mean(self, stamp_ns: int, first: float, last: float) -> Array:
        """The mean action (A,) that acts from `first` to `last` model steps after the stamp."""
        begin = first * self._step - self._actuation  # s after the stamp, by the time of sending
        end = last * self._step - self._actuation
        total, until = np.zeros(len(self._limit)), end
        for at_ns, action in reversed(self._sent):
            since = max((at_ns - stamp_ns) * 1e-9, begin)
            if since < until:
                total += (until - since) * action
                until = since
            if until <= begin:
                break
        mean = total / (end - begin) if end > begin else total
        return np.clip(mean, -1.0, 1.0).astype(np.float32)
