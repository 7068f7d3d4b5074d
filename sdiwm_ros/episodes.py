"""Which episodes the simulator runs, and what is kept of them. ROS-free.

The task is whatever `TaskLike` describes, so that this module needs no simulator.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sdiwm_model.goal_names import named_goal
from sdiwm_ros.recording import EpisodeRecord, RunRecord
from sdiwm_ros.signals import Array


class OutcomeLike(Protocol):
    """What a task says has happened since its reset or its newest goal."""

    success: bool
    wrong_target: bool
    passed_over_wrong: bool
    time_to_success: float | None


class TaskLike(Protocol):
    """What an episode needs of a simulated task."""

    name: str
    goals: tuple[str, ...]
    action_limit: Array
    physics_dt: float
    time_limit: float

    @property
    def instruction(self) -> str: ...

    @property
    def goal(self) -> int | None: ...

    @property
    def time(self) -> float: ...

    def reset(self, seed: int, goal: int | None = None, instruction: str | None = None) -> None: ...

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None: ...

    def step(self, action: Array) -> None: ...

    def goal_costs(self) -> Array: ...

    def outcome(self) -> OutcomeLike: ...


def episode_seed(seed: int, index: int) -> int:
    """The task's seed for episode `index` of a run with `seed`: independent for every pair."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)


class Episodes:
    """Runs one episode after the other on a task and records its ticks."""

    def __init__(
        self, task: TaskLike, seed: int, count: int, instruction: str, room: int = 0
    ) -> None:
        """count 0: no end. instruction "": the task draws goal and sentence of each episode.

        room: ticks that are recorded, none by default.
        """
        self.record = RunRecord(
            task.name, task.goals, task.physics_dt, len(task.action_limit), room
        )
        self._task = task
        self._seed = seed
        self._count = count
        self._instruction = instruction
        self._limit = task.time_limit
        self._index = 0
        self.current = self._begin()

    @property
    def exhausted(self) -> bool:
        """All episodes that were asked for have ended."""
        return bool(self._count) and self._index >= self._count

    def change(self, sentence: str) -> None:
        """A new instruction while the arm moves: another goal, and the full time for it."""
        goal = named_goal(sentence, self._task.goals)
        self._task.set_goal(goal, sentence)
        self._limit = self._task.time + self._task.time_limit
        self.current.changes.append((self.current.ticks, goal, sentence))

    def step(self, action: Array, stamp_ns: int) -> EpisodeRecord | None:
        """One physics tick; the episode's record where this tick ended it."""
        self._task.step(action)
        self.record.add_tick(stamp_ns, action)
        self.current.ticks += 1
        outcome = self._task.outcome()
        if not outcome.success and self._task.time < self._limit - 1e-9:
            return None
        return self._end(outcome)

    def _end(self, outcome: OutcomeLike) -> EpisodeRecord:
        ended = self.current
        ended.complete = True
        known = self._task.goal is not None
        ended.success = outcome.success if known else None
        ended.wrong_target = known and outcome.wrong_target
        ended.passed_over_wrong = known and outcome.passed_over_wrong
        ended.time_to_success = outcome.time_to_success
        ended.nearest = self._task.goals[int(np.argmin(self._task.goal_costs()))]
        self._index += 1
        if not self.exhausted:
            self.current = self._begin()
        return ended

    def _begin(self) -> EpisodeRecord:
        seed = episode_seed(self._seed, self._index)
        if self._instruction:
            self._task.reset(seed, None, self._instruction)
            self._task.set_goal(named_goal(self._instruction, self._task.goals), self._instruction)
        else:
            self._task.reset(seed)
        self._limit = self._task.time_limit
        record = EpisodeRecord(
            index=self._index,
            seed=seed,
            goal=self._task.goal,
            instruction=self._task.instruction,
            first_tick=self.record.ticks,
        )
        self.record.begin_episode(record)
        return record
