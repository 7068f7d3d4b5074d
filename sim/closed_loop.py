"""Closed-loop episodes in lockstep with the simulator, without ROS.

Physics waits for the planner: success does not depend on how fast this machine is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sdiwm_model.planning.protocols import (
    Plan,
    Planner,
    PlannerSettings,
    Sighting,
    TimedPlanner,
    shift_plan,
)
from sdiwm_model.runtime.protocols import Observer, Runtime
from sdiwm_sim.task import Array, Outcome, Task


class Controller(Protocol):
    """Chooses an action at every physics tick."""

    def begin(self, task: Task, seed: int) -> None:
        """Called once after the task's reset."""

    def act(self, task: Task) -> Array:
        """The action (A,) to hold until the next tick."""


class ExpertController:
    """The task's scripted oracle, which sees the privileged state."""

    def begin(self, task: Task, seed: int) -> None:
        pass

    def act(self, task: Task) -> Array:
        return task.expert_action()


class RandomController:
    """Uniform random actions, each held for one model step."""

    def begin(self, task: Task, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self._ticks = 0

    def act(self, task: Task) -> Array:
        if self._ticks % task.ticks_per_step == 0:
            self._action = self._rng.uniform(-1, 1, len(task.action_limit)).astype(np.float32)
        self._ticks += 1
        return self._action


@dataclass
class Timings:
    """Milliseconds of every encoded picture, every plan, and every chunk behind the plans."""

    encode_ms: list[float] = field(default_factory=list)
    plan_ms: list[float] = field(default_factory=list)
    chunk_ms: list[float] = field(default_factory=list)


class ModelController:
    """Camera at its own rate, joints and a fresh plan at every control tick: as in the ROS graph.

    Args:
        runtime: a loaded bundle.
        settings: the planner's; default those of the bundle.
        replan_every: control ticks from one plan to the next, at most a model step: a plan's first
            action is what it holds so long.
    """

    def __init__(
        self, runtime: Runtime, settings: PlannerSettings | None = None, replan_every: int = 1
    ) -> None:
        self.runtime = runtime
        self.settings = settings or runtime.manifest.planner
        self.replan_every = replan_every
        self.timings = Timings()
        self._planner: Planner | None = None
        self._observer: Observer | None = None

    def begin(self, task: Task, seed: int) -> None:
        self._planner = self.runtime.make_planner(self.settings, seed % 2**32)
        self._timed = self._planner if isinstance(self._planner, TimedPlanner) else None
        self._plan: Array | None = None
        self._next_picture = 0.0
        self._told: tuple[str, int | None] | None = None
        self._goals = 0
        self._observer = self.runtime.make_observer()
        self._period = self.replan_every * task.control_ticks
        self._fraction = self._period / task.ticks_per_step
        self._ticks = 0

    def act(self, task: Task) -> Array:
        if self._ticks % task.control_ticks == 0:
            self._see(task)
        if self._ticks % self._period == 0:
            self._replan(task)
        self._ticks += 1
        assert self._plan is not None
        return self._plan[0]

    def _see(self, task: Task) -> None:
        assert self._observer is not None
        if task.time >= self._next_picture - 1e-9:
            picture = task.render(self.runtime.manifest.sizes.image_size)
            self.timings.encode_ms.append(self._observer.see(picture) * 1e3)
            self._next_picture += task.camera_period

    def _replan(self, task: Task) -> None:
        if (task.instruction, task.goal) != self._told:
            self._told = task.instruction, task.goal
            self._goals += 1
            self._c = condition(self.runtime, task)
        assert self._observer is not None
        z = self._observer.latent(task.proprio())
        plan = self._plan_on(z, task.time)
        self.timings.plan_ms.append(plan.elapsed_s * 1e3)
        if plan.inference_s:
            self.timings.chunk_ms.append(plan.inference_s * 1e3)
        self._plan = plan.actions

    def _plan_on(self, z: Array, now: float) -> Plan:
        assert self._planner is not None
        warm_start = None if self._plan is None else shift_plan(self._plan, self._fraction)
        if self._timed is not None:
            sighting = Sighting(z, now, z, now, self._goals)
            return self._timed.plan_at(sighting, self._c, warm_start)
        return self._planner.plan(z, self._c, warm_start)


def condition(runtime: Runtime, task: Task, goal: int | None = None) -> Array:
    """c (C,) of the task's goal, as it is told: its sentence, or a picture of ``goal``.

    Args:
        goal: default the named one, by the task's own sentence; else by the plainest one.
    """
    if task.goal_modality == "image":
        return runtime.condition_image(task.goal_picture(runtime.manifest.sizes.image_size, goal))
    return runtime.condition(task.instruction if goal is None else task.train_instructions(goal)[0])


def run_episode(
    task: Task,
    controller: Controller,
    seed: int,
    goal: int | None = None,
    instruction: str | None = None,
    on_tick: Callable[[Task], None] | None = None,
    judged: bool = True,
) -> Outcome:
    """One episode: until success, or until the task's time limit.

    Args:
        on_tick: called before every physics tick, for recording.
        judged: False where nobody knows which target the sentence names: then no target counts
            as success, and holding any ends the episode.
    """
    task.reset(seed, goal, instruction)
    if not judged:
        task.set_goal(None)
    controller.begin(task, seed)
    while task.time < task.time_limit - 1e-9 and not _ended(task):
        action = controller.act(task)
        if on_tick is not None:
            on_tick(task)
        task.step(action)
    return task.outcome()


def _ended(task: Task) -> bool:
    outcome = task.outcome()
    return outcome.success or (task.goal is None and outcome.wrong_target)
