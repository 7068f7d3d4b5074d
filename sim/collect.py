"""Record episodes of a task under a mixture of behaviours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_sim.behaviours import (
    Behaviour,
    Demonstration,
    NearTarget,
    NoisyScripted,
    Planned,
    Random,
)
from sdiwm_sim.task import Task

EPISODES_PER_SEED = 1_000_000


def make_behaviours(runtime: Runtime | None = None) -> dict[str, Callable[[], Behaviour]]:
    """Every behaviour by its name in a mixture; `planner` plans with ``runtime``.

    Each call of a value makes a fresh behaviour for one episode; the planner is shared, since
    its first plan for a goal costs a sentence.
    """
    behaviours: dict[str, Callable[[], Behaviour]] = {
        "random": Random,
        "scripted": NoisyScripted,
        "wrong_target": lambda: NoisyScripted(wrong_target=True),
        "near_target": NearTarget,
        "demonstration": Demonstration,
    }
    if runtime is not None:
        planned = Planned(runtime)
        behaviours["planner"] = lambda: planned
    return behaviours


def record(
    task: Task,
    mixture: dict[str, float],
    seed: int,
    episodes: int,
    steps: int,
    runtime: Runtime | None = None,
) -> Iterator[Episode]:
    """Yield ``episodes`` episodes of ``steps`` model steps; episode i depends on (seed, i) alone.

    Raises:
        SdiwmError: the mixture asks for the planner and there is no ``runtime``.
    """
    behaviours = make_behaviours(runtime)
    if missing := set(mixture) - set(behaviours):
        raise SdiwmError(
            f"--mixture asks for '{missing.pop()}', which needs a model: name one with --model"
        )
    for index in range(episodes):
        layout = episode_seed(seed, index)
        name = behaviour_of(layout, mixture)
        yield record_episode(task, name, behaviours[name](), layout, steps)


def episode_seed(seed: int, index: int) -> int:
    """The layout of episode ``index`` of a data set: no two data sets share one."""
    if not 0 <= index < EPISODES_PER_SEED:
        raise SdiwmError(f"--episodes: one seed has {EPISODES_PER_SEED} episodes; use another too")
    return seed * EPISODES_PER_SEED + index


def record_episode(task: Task, name: str, behaviour: Behaviour, seed: int, steps: int) -> Episode:
    """Reset ``task`` with ``seed`` and record ``steps`` model steps under ``behaviour``.

    ``frames[t]``, ``proprio[t]``, ``goal_cost[t]`` and ``state[t]`` are taken at the start of model
    step t; ``action[t]`` is then held for the whole step.
    """
    rng = np.random.default_rng([seed, 1])
    task.reset(seed)
    behaviour.begin(task, rng)
    frames, proprio, actions, costs, states = [], [], [], [], []
    for _ in range(steps):
        frames.append(task.render())
        proprio.append(task.proprio())
        costs.append(task.goal_costs())
        states.append(task.state())
        actions.append(behaviour.act(task, rng))
        for _ in range(task.ticks_per_step):
            task.step(actions[-1])
    assert task.goal is not None
    return Episode(
        frames=np.stack(frames),
        proprio=np.stack(proprio),
        action=np.stack(actions),
        goal_cost=np.stack(costs),
        state=np.stack(states),
        instruction=task.instruction,
        goal=task.goal,
        behaviour=name,
        seed=seed,
    )


def behaviour_of(seed: int, mixture: dict[str, float]) -> str:
    """The behaviour that episode ``seed`` gets: the same whatever else is collected."""
    names = sorted(mixture)
    shares = np.array([mixture[name] for name in names])
    return names[int(np.random.default_rng([seed, 2]).choice(len(names), p=shares / shares.sum()))]


def episode_spec(task: Task) -> EpisodeSpec:
    """Shapes of the task's episodes, and what whoever trains on them must know of the task.

    `train_instructions` is a list of sentences for each goal, in the order of `goals`;
    `imitate_from` the step of a demonstration from which on its actions are to be imitated.
    """
    goals = range(len(task.goals))
    facts: dict[str, Any] = {
        "name": task.name,
        "dt": task.ticks_per_step * task.physics_dt,
        "goals": list(task.goals),
        "action_limit": [float(limit) for limit in task.action_limit],
        "train_instructions": [list(task.train_instructions(goal)) for goal in goals],
        "unrelated": list(task.unrelated_instructions()),
        "state_groups": [asdict(group) for group in task.state_groups],
        "position_coordinates": task.position_coordinates,
        "cost_unit": task.cost_unit,
        "goal_modality": task.goal_modality,
        "cameras": list(task.cameras),
        "imitate_from": Demonstration.LEAD_IN,
        "camera_lags": task.control_ticks * task.physics_dt < task.camera_period,
    }
    return EpisodeSpec(
        image=task.render().shape,
        proprio=len(task.proprio()),
        action=len(task.action_limit),
        goals=len(task.goals),
        state=len(task.state()),
        task=facts,
    )
