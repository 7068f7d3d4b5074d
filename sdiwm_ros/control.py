"""The control loop without ROS: plan on the newest latent, send on absolute deadlines.

Two threads share two slots that hold the newest value only:

    latents ─▶ PlanningLoop ─▶ plans ─▶ SetpointLoop ─▶ commands
                    chip's plans ─▶

A plan is a sequence. When the next plan is late, the previous plan's next action is sent, and
counted as a fallback. When the observation behind it is too old, or there is no goal, or the
latent was refused, a stop is asked for. Where a microcontroller plans, its plans are put into the
slot instead, and this loop plans while the chip is silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import (
    Plan,
    Planner,
    Sighting,
    TimedPlanner,
    fit_horizon,
    shift_plan,
)
from sdiwm_ros.clock import FUTURE, ClockWatch
from sdiwm_ros.latency import LatencyCompensation, Start
from sdiwm_ros.realtime import LatestSlot, Samples
from sdiwm_ros.safety import CommandGuard
from sdiwm_ros.signals import Array, ChipPlan, Command, CommandKind, Goal, Latent
from sdiwm_ros.takeover import Takeover

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
    """A plan (H, A) in [-1, 1], the observation behind it and the number of its goal.

    starts_ns: when its first action is to act. by_chip: the microcontroller planned. number: how
    many plans this host had made with it; before_ns: the stamp of the latent of the one before.
    """

    actions: Array
    latent: Latent
    goal: int
    starts_ns: int
    by_chip: bool = False
    number: int = 0
    before_ns: int = 0

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


def stamp_objection(age: float, timeout: float) -> str:
    """Why an observation of `age` seconds must not be acted on, or ""."""
    if age > timeout:
        return f"the observation is {1000 * age:.0f} ms old"
    if age < -FUTURE:
        return f"the observation is stamped {-1000 * age:.0f} ms in the future"
    return ""


class PlanningLoop:
    """The planner's thread: newest latent in, plan out.

    Args:
        compensation: moves latents on to when their action acts; None: plans start at the stamp.
        chip: who plans where a microcontroller does; None: always this loop.
        stand_in: whether this loop plans while the chip is silent; False: a stop is asked for.
    """

    def __init__(
        self,
        planner: Planner,
        timing: ControlTiming,
        latents: LatestSlot[Latent | Fault],
        plans: LatestSlot[Planned | Fault],
        clock: Callable[[], int],
        watch: ClockWatch,
        compensation: LatencyCompensation | None = None,
        chip: Takeover | None = None,
        stand_in: bool = True,
    ) -> None:
        self._planner, self._timing = planner, timing
        self._timed = planner if isinstance(planner, TimedPlanner) else None
        self._latents, self._plans = latents, plans
        self._clock, self._watch = clock, watch
        self._compensation, self._chip, self._stand_in = compensation, chip, stand_in
        self._goal: tuple[int, Goal | None] = (0, None)
        self._last: Planned | None = None
        self._newest: Latent | None = None
        self._before_ns = 0
        self.plan_ms = Samples(RECORDED_PLANS)
        self.chunk_ms, self.chunk_age_ms = Samples(), Samples(RECORDED_PLANS)
        self.chunk_at = Samples(RECORDED_PLANS)  # s, monotonic: when each came into force
        self.overruns = self.late_chunks = 0
        self.refused_plans = 0

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

    @property
    def clock_jumps(self) -> int:
        return self._watch.jumps

    def step(self) -> None:
        """Wait up to 0.1 s for a latent; plan on it, or say why not."""
        latent = self._latents.take(time.monotonic() + 0.1)
        jump = self._watch.look()
        if jump:
            self._forget()
            self._plans.put(Fault(f"the clock jumped by {jump:+.3f} s"))
        elif isinstance(latent, Fault):
            self._plans.put(latent)
        elif latent is not None:
            answer = self._answer(latent)
            if answer is not None:
                self._plans.put(answer)

    def take_chip_plan(self, plan: ChipPlan) -> None:
        """A plan of the microcontroller: send it while the chip leads. Any thread may call."""
        number, goal = self._goal
        age = (self._clock() - plan.stamp_ns) * 1e-9
        if goal is None or goal.c is None or plan.goal != goal.fingerprint:
            return  # it answers what is no longer asked
        if (
            stamp_objection(age, self._timing.observation_timeout)
            or self._chip is None
            or not np.isfinite(plan.actions).all()
        ):
            self.refused_plans += 1
            return
        now = time.monotonic()
        self._chip.heard(now)
        if self._chip.chip_plans(now) and self._newest is not None:
            latent = Latent(self._newest.z, plan.stamp_ns)  # z only serves to draw the plan
            self._last = Planned(plan.actions, latent, number, plan.starts_ns, by_chip=True)
            self._plans.put(self._last)

    def _answer(self, latent: Latent) -> Planned | Fault | None:
        """A plan or why there is none; None while the chip plans."""
        number, goal = self._goal
        if goal is None or goal.c is None:
            self._last = None
            return Fault("no goal: waiting for an instruction" if goal is None else
                         f"no goal: the instruction '{goal.instruction}' was refused")  # fmt: skip
        age = (self._clock() - latent.stamp_ns) * 1e-9
        objection = stamp_objection(age, self._timing.observation_timeout)
        if objection:
            return Fault(objection)
        self._newest = latent
        if self._chip is not None and self._chip.chip_plans(time.monotonic()):
            return None
        if not self._stand_in:
            return Fault("the microcontroller does not plan")
        return self._plan(latent, goal.c, number)

    def _plan(self, latent: Latent, c: Array, goal: int) -> Planned | Fault:
        began = time.perf_counter()
        try:
            start = Start(latent.z, latent.stamp_ns)
            if self._compensation is not None:
                start = self._compensation.start(latent, c)
            plan = self._plan_from(latent, start, c, goal)
        except SdiwmError as error:
            self._last = None
            return Fault(str(error))
        elapsed = time.perf_counter() - began
        if self._timed is not None:
            self._note_chunk(plan)
        self.plan_ms.add(1000 * elapsed)
        self.overruns += elapsed > self._timing.period
        if not np.isfinite(plan.actions).all():
            self._last = None
            return Fault("the plan is not finite")
        self._last = Planned(
            plan.actions, latent, goal, start.at_ns, False, self.plan_ms.count, self._before_ns
        )
        self._before_ns = latent.stamp_ns
        return self._last

    def _plan_from(self, latent: Latent, start: Start, c: Array, goal: int) -> Plan:
        warm_start = self._warm_start(start.at_ns, goal)
        if self._timed is None:
            return self._planner.plan(start.z, c, warm_start)
        seen, acts = latent.stamp_ns * 1e-9, start.at_ns * 1e-9
        return self._timed.plan_at(Sighting(latent.z, seen, start.z, acts, goal), c, warm_start)

    def _note_chunk(self, plan: Plan) -> None:
        self.chunk_age_ms.add(1000 * plan.age_s)
        self.late_chunks += plan.late
        if plan.inference_s:
            self.chunk_ms.add(1000 * plan.inference_s)
            self.chunk_at.add(time.monotonic())

    def _warm_start(self, starts_ns: int, goal: int) -> Array | None:
        """The last plan moved on by the time between the two starts; None for a new goal."""
        last, timing = self._last, self._timing
        if last is None or last.goal != goal:
            return None
        elapsed = (starts_ns - last.starts_ns) * 1e-9
        if abs(elapsed) > min(timing.observation_timeout, timing.model_step):
            return None
        moved = shift_plan(last.actions, max(0.0, elapsed) / timing.model_step)
        return fit_horizon(moved, self._planner.settings.horizon)

    def _forget(self) -> None:
        self._last = None
        if self._compensation is not None:
            self._compensation.forget()


class SetpointLoop:
    """The publisher's thread: a command for every plan, and one at every deadline without."""

    def __init__(
        self,
        limits: Array,
        timing: ControlTiming,
        plans: LatestSlot[Planned | Fault],
        send: Callable[[Command], None],
        clock: Callable[[], int],
        compensation: LatencyCompensation | None = None,
    ) -> None:
        self._compensation = compensation
        self._actuation = 0.0 if compensation is None else compensation.actuation
        self._limits = np.asarray(limits, dtype=np.float64)
        self._guard = CommandGuard(limits)
        self._timing = timing
        self._plans = plans
        self._send = send
        self._clock = clock
        self._planned: Planned | None = None
        self._expires = 0.0
        self._deadline = time.monotonic()
        self._sent_at: float | None = None
        self.problem = "no goal: waiting for an instruction"
        self.period_ms = Samples()
        self.latency_ms = Samples()
        self.counts = dict.fromkeys(CommandKind, 0)
        self.chip_plans = 0

    def step(self) -> None:
        """Send one command: for a fresh plan at once, otherwise when the deadline passes."""
        fresh = self._plans.take(self._deadline)
        if isinstance(fresh, Fault):
            self._planned = None
            if self.problem != fresh.reason or time.monotonic() >= self._deadline:
                self._stop(fresh.reason)
        elif fresh is not None:
            self._planned = fresh
            left = self._timing.observation_timeout - self._age(fresh)
            self._expires = time.monotonic() + left
            self._move(fresh, CommandKind.PLAN)
            self._deadline = time.monotonic() + self._timing.period + self._timing.grace
        else:
            self._miss()

    def send_safe(self) -> None:
        """The last command, once the loop has stopped."""
        self._publish(Command(self._guard.stop(), 0, CommandKind.SAFE, 0))

    def _miss(self) -> None:
        planned, timeout = self._planned, self._timing.observation_timeout
        if planned is None:
            self._stop(self.problem)
        elif time.monotonic() > self._expires or self._age(planned) > timeout:
            self._stop(f"no observation for {1000 * timeout:.0f} ms")
        elif objection := stamp_objection(self._age(planned), timeout):
            self._stop(objection)
        else:
            self._move(planned, CommandKind.FALLBACK)
            self._deadline += self._timing.period

    def _age(self, planned: Planned) -> float:
        return (self._clock() - planned.latent.stamp_ns) * 1e-9

    def _move(self, planned: Planned, kind: CommandKind) -> None:
        steps = 0.0
        if kind is CommandKind.FALLBACK:
            since = (self._clock() - planned.starts_ns) * 1e-9 + self._actuation
            steps = max(0.0, since) / self._timing.model_step
        verdict = self._guard.check(action_at(planned.actions, steps) * self._limits)
        if verdict.safe_stop:
            self._stop(verdict.reason)
            return
        self._publish(Command(verdict.velocity, planned.latent.stamp_ns, kind, planned.goal,
                              planned.digest, planned.number, planned.before_ns))  # fmt: skip
        self.problem = ""
        now = time.monotonic()
        if self._sent_at is not None:
            self.period_ms.add(1000 * (now - self._sent_at))
        self._sent_at = now
        if kind is CommandKind.PLAN:
            age = self._age(planned)
            self.latency_ms.add(1000 * age)
            self.chip_plans += planned.by_chip
            if self._compensation is not None and not planned.by_chip:
                self._compensation.answered(age)

    def _stop(self, reason: str) -> None:
        self.problem = reason
        self._planned = None
        self._sent_at = None
        self._publish(Command(self._guard.stop(), 0, CommandKind.SAFE, 0))
        self._deadline = time.monotonic() + SAFE_PERIOD

    def _publish(self, command: Command) -> None:
        self.counts[command.kind] += 1
        self._send(command)
