"""The control loop without ROS: plan on the newest latent, send on absolute deadlines.

Two threads share two slots that hold the newest value only:

    latents ─▶ PlanningLoop ─▶ plans ─▶ SetpointLoop ─▶ commands

A plan is a sequence. When the next plan is late, the previous plan's next action is sent, and
counted as a fallback. When the observation behind it is too old, or there is no goal, or the
latent was refused, the arm is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Planner, shift_plan
from sdiwm_ros.realtime import LatestSlot, Samples
from sdiwm_ros.safety import CommandGuard
from sdiwm_ros.signals import Array, Command, CommandKind, Goal, Latent, now_ns

SAFE_PERIOD = 0.05  # s between safe commands: well within every command timeout
RECORDED_PLANS = 1 << 18  # the newest: about 17 minutes at 250 Hz


@dataclass(frozen=True)
class ControlTiming:
    """Seconds: command period, lateness before a fallback, oldest observation, model step."""

    period: float
    grace: float
    observation_timeout: float
    model_step: float


@dataclass(frozen=True)
class Planned:
    """A plan (H, A) in [-1, 1], the latent it starts from and the number of its goal."""

    actions: Array
    latent: Latent
    goal: int

    @cached_property
    def digest(self) -> int:
        """CRC-32 of the actions."""
        return crc32(np.ascontiguousarray(self.actions).tobytes())


@dataclass(frozen=True)
class Fault:
    """Why nothing can be planned; the arm is stopped at once."""

    reason: str


def action_at(actions: Array, steps: float) -> Array:
    """The action (A,) of a plan (H, A) after `steps` model steps, interpolated linearly."""
    whole = min(int(steps), len(actions) - 1)
    if whole == len(actions) - 1:
        return actions[-1]
    fraction = steps - whole
    return (1.0 - fraction) * actions[whole] + fraction * actions[whole + 1]


class PlanningLoop:
    """The planner's thread: newest latent in, plan out."""

    def __init__(
        self,
        planner: Planner,
        timing: ControlTiming,
        latents: LatestSlot[Latent | Fault],
        plans: LatestSlot[Planned | Fault],
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self._planner = planner
        self._timing = timing
        self._latents = latents
        self._plans = plans
        self._clock = clock
        self._goal: tuple[int, Goal | None] = (0, None)
        self._last: Planned | None = None
        self.plan_ms = Samples(RECORDED_PLANS)
        self.overruns = 0

    def set_goal(self, goal: Goal) -> int:
        """Plan for another goal from now on; returns how many goals there have been."""
        number = self._goal[0] + 1
        self._goal = (number, goal)
        if goal.c is None:
            self._plans.put(Fault(f"no goal: the instruction '{goal.instruction}' was refused"))
        return number

    @property
    def latest(self) -> tuple[Planned | None, Goal | None]:
        """The newest plan and the goal in force."""
        return self._last, self._goal[1]

    def step(self) -> None:
        """Wait up to 0.1 s for a latent; plan on it, or say why not."""
        latent = self._latents.take(time.monotonic() + 0.1)
        if latent is None:
            return
        self._plans.put(latent if isinstance(latent, Fault) else self._plan(latent))

    def _plan(self, latent: Latent) -> Planned | Fault:
        number, goal = self._goal
        if goal is None or goal.c is None:
            self._last = None
            return Fault("no goal: waiting for an instruction" if goal is None else
                         f"no goal: the instruction '{goal.instruction}' was refused")  # fmt: skip
        age = (self._clock() - latent.stamp_ns) * 1e-9
        if age > self._timing.observation_timeout:
            return Fault(f"the observation is {1000 * age:.0f} ms old")
        started = time.perf_counter()
        try:
            plan = self._planner.plan(latent.z, goal.c, self._warm_start(latent, number))
        except SdiwmError as error:
            self._last = None
            return Fault(str(error))
        elapsed = time.perf_counter() - started
        self.plan_ms.add(1000 * elapsed)
        self.overruns += elapsed > self._timing.period
        if not np.isfinite(plan.actions).all():
            self._last = None
            return Fault("the plan is not finite")
        self._last = Planned(plan.actions, latent, number)
        return self._last

    def _warm_start(self, latent: Latent, goal: int) -> Array | None:
        """The last plan moved on by the time between the two observations; None for a new goal."""
        last = self._last
        if last is None or last.goal != goal:
            return None
        elapsed = (latent.stamp_ns - last.latent.stamp_ns) * 1e-9
        if not 0.0 <= elapsed <= min(self._timing.observation_timeout, self._timing.model_step):
            return None
        return shift_plan(last.actions, elapsed / self._timing.model_step)


class SetpointLoop:
    """The publisher's thread: a command for every plan, and one at every deadline without."""

    def __init__(
        self,
        limits: Array,
        timing: ControlTiming,
        plans: LatestSlot[Planned | Fault],
        send: Callable[[Command], None],
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self._limits = np.asarray(limits, dtype=np.float64)
        self._guard = CommandGuard(limits)
        self._timing = timing
        self._plans = plans
        self._send = send
        self._clock = clock
        self._planned: Planned | None = None
        self._deadline = time.monotonic()
        self._sent_at: float | None = None
        self.problem = "no goal: waiting for an instruction"
        self.period_ms = Samples()
        self.latency_ms = Samples()
        self.counts = dict.fromkeys(CommandKind, 0)

    def step(self) -> None:
        """Send one command: for a fresh plan at once, otherwise when the deadline passes."""
        fresh = self._plans.take(self._deadline)
        if isinstance(fresh, Fault):
            self._planned = None
            if self.problem != fresh.reason or time.monotonic() >= self._deadline:
                self._stop(fresh.reason)
        elif fresh is not None:
            self._planned = fresh
            self._move(fresh, CommandKind.PLAN)
            self._deadline = time.monotonic() + self._timing.period + self._timing.grace
        else:
            self._miss()

    def send_safe(self) -> None:
        """The last command, once the loop has stopped."""
        self._publish(Command(self._guard.stop(), 0, CommandKind.SAFE, 0))

    def _miss(self) -> None:
        planned = self._planned
        if planned is None:
            self._stop(self.problem)
        elif self._age(planned) > self._timing.observation_timeout:
            self._stop(f"no observation for {1000 * self._age(planned):.0f} ms")
        else:
            self._move(planned, CommandKind.FALLBACK)
            self._deadline += self._timing.period

    def _age(self, planned: Planned) -> float:
        return (self._clock() - planned.latent.stamp_ns) * 1e-9

    def _move(self, planned: Planned, kind: CommandKind) -> None:
        steps = 0.0
        if kind is CommandKind.FALLBACK:
            steps = max(0.0, self._age(planned)) / self._timing.model_step
        verdict = self._guard.check(action_at(planned.actions, steps) * self._limits)
        if verdict.safe_stop:
            self._stop(verdict.reason)
            return
        self._publish(Command(verdict.velocity, planned.latent.stamp_ns, kind, planned.goal,
                              planned.digest))  # fmt: skip
        self.problem = ""
        now = time.monotonic()
        if self._sent_at is not None:
            self.period_ms.add(1000 * (now - self._sent_at))
        self._sent_at = now
        if kind is CommandKind.PLAN:
            self.latency_ms.add(1000 * self._age(planned))

    def _stop(self, reason: str) -> None:
        self.problem = reason
        self._planned = None
        self._sent_at = None
        self._publish(Command(self._guard.stop(), 0, CommandKind.SAFE, 0))
        self._deadline = time.monotonic() + SAFE_PERIOD

    def _publish(self, command: Command) -> None:
        self.counts[command.kind] += 1
        self._send(command)
