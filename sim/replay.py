"""The simulator as its own model: recorded actions, replayed from a slightly wrong state.

`python -m sdiwm_sim.replay DATA --out DIR --steps T --error joints=0.01 --error pucks=0.003`
writes each episode's first T steps and one, from the perturbed start on. What no model can
predict from a start that uncertain, this cannot either: the ceiling of `sdiwm bench horizon`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.shards import ShardReader, ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_sim.task import Array, Task, make_task


def perturbed(
    task: Task, state: Array, errors: dict[str, float], rng: np.random.Generator
) -> Array:
    """``state`` (S,) with each named group's points moved by ``errors[name]`` on average.

    Raises:
        SdiwmError: the task's state has no such group.
    """
    moved = state.copy()
    groups = {group.name: group for group in task.state_groups}
    for name, size in errors.items():
        if name not in groups:
            raise SdiwmError(f"--error: no '{name}' in the state: choose from {', '.join(groups)}")
        group = groups[name]
        steps = rng.normal(size=(group.count, group.width))
        steps *= size / np.linalg.norm(steps, axis=1).mean()
        moved[group.first : group.first + steps.size] += steps.ravel()
    return moved


def replay_episode(
    task: Task, episode: Episode, steps: int, errors: dict[str, float], rng: np.random.Generator
) -> Episode:
    """``episode`` again from its perturbed first step on: ``steps`` steps and one."""
    if len(episode) <= steps:
        raise SdiwmError(f"--steps {steps}: an episode has {len(episode)} steps; use fewer")
    task.reset(episode.seed, episode.goal, episode.instruction)
    task.restore(perturbed(task, episode.state[0], errors, rng), episode.proprio[0])
    seen = []
    for action in episode.action[: steps + 1]:
        seen.append((task.render(), task.proprio(), task.goal_costs(), task.state()))
        for _ in range(task.ticks_per_step):
            task.step(action)
    frames, proprio, costs, states = (np.stack(column) for column in zip(*seen, strict=True))
    return replace(
        episode, frames=frames, proprio=proprio, goal_cost=costs, state=states,
        action=episode.action[: steps + 1],
    )  # fmt: skip


def main() -> int:
    """Replay a folder; 2 where it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m sdiwm_sim.replay", description=__doc__)
    parser.add_argument("data", type=Path, help="folder that `sdiwm collect` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--steps", type=int, required=True, help="model steps T")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbations")
    parser.add_argument(
        "--error", action="append", default=[], metavar="NAME=SIZE", help="m or rad"
    )
    args = parser.parse_args()
    try:
        errors = {name: float(size) for name, size in (e.split("=") for e in args.error)}
        reader = ShardReader(args.data)
        task = make_task(reader.task["name"])
        rng = np.random.default_rng(args.seed)
        with ShardWriter(args.out, reader.spec, {"replay_of": str(args.data)}) as writer:
            for episode in reader.episodes():
                writer.write(replay_episode(task, episode, args.steps, errors, rng))
    except SdiwmError as error:
        print(f"sdiwm: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
