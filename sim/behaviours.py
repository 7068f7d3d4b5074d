"""How the robot moves while data is collected: one small class a behaviour.

The mixture matters more than any single one: random motion teaches the dynamics, scripted motion
visits the places a planner will visit, wrong targets and near-target starts teach the cost where
it decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from sdiwm_model.planning.protocols import Planner, shift_plan
from sdiwm_model.runtime.history import FeatureHistory
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_sim.closed_loop import condition
from sdiwm_sim.task import Array, Demonstrates, Task


class Behaviour(Protocol):
    """Chooses an action for each model step of an episode."""

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        """Called once after the task's reset; may move the robot."""

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        """The action (A,) in [-1, 1] to hold during the next model step."""


class SmoothNoise:
    """First-order autoregressive noise with unit variance, (A,)."""

    def __init__(self, size: int, smoothness: float) -> None:
        self._smoothness = smoothness
        self._value = np.zeros(size)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        fresh = np.sqrt(1 - self._smoothness**2) * rng.normal(size=self._value.shape)
        self._value = self._smoothness * self._value + fresh
        return self._value


class Bursts:
    """Now and then a constant random action for up to 0.8 s, as a planner's candidates are.

    Without it every action in scripted data is explained by the state, and a model learns that
    the arm goes to targets by itself.
    """

    CHANCE = 0.04
    LONGEST = 20

    def __init__(self) -> None:
        self._left = 0

    def replace(self, action: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The burst's action while one lasts, else ``action``."""
        if self._left == 0 and rng.random() < self.CHANCE:
            self._left = int(rng.integers(4, self.LONGEST + 1))
            self._held = rng.uniform(-1, 1, action.shape)
        if self._left == 0:
            return action
        self._left -= 1
        return self._held


class Random:
    """Smooth random velocities of a random amplitude, with pauses."""

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        self._noise = SmoothNoise(len(task.action_limit), rng.uniform(0.5, 0.97))
        self._amplitude = rng.uniform(0.3, 1.2)
        self._pausing = False

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        if rng.random() < 0.03:
            self._pausing = not self._pausing and rng.random() < 0.3
        action = self._amplitude * self._noise.draw(rng)
        return np.clip(0 * action if self._pausing else action, -1, 1).astype(np.float32)


class NoisyScripted:
    """The expert with noise; some time after arriving it leaves for another target.

    Args:
        wrong_target: go to targets other than the named one.
    """

    def __init__(self, wrong_target: bool = False) -> None:
        self._wrong_target = wrong_target

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        self._noise = SmoothNoise(len(task.action_limit), rng.uniform(0.3, 0.95))
        self._amplitude = rng.uniform(0.05, 0.6)
        self._bursts = Bursts()
        assert task.goal is not None
        self._goal = self._another(task, rng) if self._wrong_target else task.goal
        self._patience = rng.uniform(0.03, 0.1)

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        if task.arrived(self._goal) and rng.random() < self._patience:
            self._goal = self._another(task, rng)
        action = task.expert_action(self._goal) + self._amplitude * self._noise.draw(rng)
        return np.clip(self._bursts.replace(action, rng), -1, 1).astype(np.float32)

    def _another(self, task: Task, rng: np.random.Generator) -> int:
        others = [goal for goal in range(len(task.goals)) if goal != task.goal]
        return int(rng.choice(others)) if others else 0


class NearTarget:
    """Starts close to a target and makes small moves around it, now and then to its point."""

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        self._goal = int(rng.integers(len(task.goals)))
        task.start_near(self._goal, rng)
        self._noise = SmoothNoise(len(task.action_limit), rng.uniform(0.3, 0.9))
        self._amplitude = rng.uniform(0.1, 0.6)
        self._pull = rng.uniform(0.1, 0.6)
        self._bursts = Bursts()

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        pull = self._pull * task.expert_action(self._goal)
        action = pull + self._amplitude * self._noise.draw(rng)
        return np.clip(self._bursts.replace(action, rng), -1, 1).astype(np.float32)


class Demonstration:
    """The expert without noise, after `LEAD_IN` model steps that bring the robot off its way.

    What a policy imitates must be clean, and begin where a policy's own errors lead: anywhere, on
    the way to another target, or close to one, most often the named one, which is where a policy
    stops short. Some stand still before they begin: where only what has arrived is seen at rest, a
    policy learns that at rest there is nothing to do. From step `LEAD_IN` on every action is to be
    imitated, for the goal that the episode's instruction names.
    """

    LEAD_IN = 12
    NEAR = 0.5  # share that starts close to a target, `NAMED` of them to the named one
    NAMED = 0.6
    STILL = 0.35  # share of the lead-ins that end at rest, half of them without having moved

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        if rng.random() < self.NEAR:
            near = int(rng.integers(len(task.goals)))
            if task.goal is not None and rng.random() < self.NAMED:
                near = task.goal
            task.start_near(near, rng)
        self._noise = SmoothNoise(len(task.action_limit), rng.uniform(0.3, 0.97))
        self._amplitude = rng.uniform(0.0, 1.2)
        self._pull, self._goal = rng.uniform(0.0, 1.2), int(rng.integers(len(task.goals)))
        self._steps = 0
        still = rng.random()
        self._moves = self.LEAD_IN
        if still < self.STILL:
            self._moves = 0 if still < self.STILL / 2 else self.LEAD_IN // 2
        self._clean = (
            task.demonstrated_action if isinstance(task, Demonstrates) else task.expert_action
        )

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        self._steps += 1
        if self._steps > self.LEAD_IN:
            return self._clean()
        if self._steps > self._moves:
            return np.zeros(len(task.action_limit), np.float32)
        pull = self._pull * task.expert_action(self._goal)
        return np.clip(pull + self._amplitude * self._noise.draw(rng), -1, 1).astype(np.float32)


class Planned:
    """A model's own planner with a little noise: the states that its mistakes lead to.

    It plans once a model step, with more iterations than in the control loop since it has more
    time. Some time after arriving it is told to touch another target.
    """

    ITERATIONS = 4

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = replace(runtime.manifest.planner, iterations=self.ITERATIONS)
        self._sentences: dict[int, Array] = {}

    def begin(self, task: Task, rng: np.random.Generator) -> None:
        seed = int(rng.integers(2**31))
        self._planner: Planner = self._runtime.make_planner(self._settings, seed)
        self._plan: Array | None = None
        self._history = FeatureHistory(self._runtime.manifest.sizes.frames)
        self._noise = SmoothNoise(len(task.action_limit), rng.uniform(0.3, 0.9))
        self._amplitude = rng.uniform(0.0, 0.25)
        self._bursts = Bursts()
        assert task.goal is not None
        self._pursue(task, task.goal)

    def act(self, task: Task, rng: np.random.Generator) -> Array:
        if task.arrived(self._goal) and rng.random() < 0.05:
            self._pursue(task, int(rng.integers(len(task.goals))))
            self._plan = None
        picture = task.render(self._runtime.manifest.sizes.image_size)
        features = self._history.add(self._runtime.encode_image(picture))
        z = self._runtime.fuse(features, task.proprio())
        warm_start = None if self._plan is None else shift_plan(self._plan, 1.0)
        self._plan = self._planner.plan(z, self._c, warm_start).actions
        action = self._plan[0] + self._amplitude * self._noise.draw(rng)
        return np.clip(self._bursts.replace(action, rng), -1, 1).astype(np.float32)

    def _pursue(self, task: Task, goal: int) -> None:
        """A sentence costs much and stays what it is; a picture is of this episode alone."""
        self._goal = goal
        if task.goal_modality == "image":
            self._c = condition(self._runtime, task, goal)
            return
        if goal not in self._sentences:
            self._sentences[goal] = condition(self._runtime, task, goal)
        self._c = self._sentences[goal]
