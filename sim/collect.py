"""Record episodes of a task under a mixture of behaviours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdiwm_model.data.episodes import Episode
from sdiwm_model.errors import SdiwmError
from sdiwm_sim.behaviours import Behaviour, NearTarget, NoisyScripted, Random
from sdiwm_sim.task import Task

TICKS_PER_STEP = 8  # physics ticks in a model step: 8 x 5 ms = 40 ms

BEHAVIOURS: dict[str, Callable[[], Behaviour]] = {
    "random": Random,
    "scripted": NoisyScripted,
    "wrong_target": lambda: NoisyScripted(wrong_target=True),
    "near_target": NearTarget,
}
MIXTURE = {"random": 0.25, "scripted": 0.3, "wrong_target": 0.2, "near_target": 0.25}


def parse_mixture(text: str) -> dict[str, float]:
    """Read 'random=0.5,scripted=0.5' into shares that sum to 1.

    Raises:
        SdiwmError: an unknown behaviour, or a share that is not a positive number.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            shares[name] = float(value)
        except ValueError:
            raise SdiwmError(f"--mixture: '{part}' is not NAME=SHARE, e.g. random=0.5") from None
        if name not in BEHAVIOURS and name != "planner":
            known = ", ".join([*BEHAVIOURS, "planner"])
            raise SdiwmError(f"--mixture: unknown behaviour '{name}': choose from {known}")
        if not shares[name] > 0:
            raise SdiwmError(f"--mixture: the share of '{name}' must be above 0")
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


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
        costs.append(task.goal_distances())
        states.append(task.state())
        actions.append(behaviour.act(task, rng))
        for _ in range(TICKS_PER_STEP):
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
