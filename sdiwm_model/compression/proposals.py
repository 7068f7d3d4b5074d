"""What the integer planner does to the integer model: rollouts under its plans, its candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sdiwm_model.compression.activations import (
    Floats,
    Rollouts,
    Weights,
    by_goal,
    float_head,
    float_step,
)
from sdiwm_model.compression.fixed_point import (
    ACTION_ONE,
    actions_from_int16,
    actions_to_int8,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.planning.protocols import PlannerSettings

CANDIDATES, HORIZON = 16, 12  # of a plan that is imagined
REPLAN = 4  # model steps from one plan to the next


@dataclass(frozen=True)
class Proposals:
    """Plans to be ranked: from each latent (S, Z), candidates (S, N, H, A) under c (S, C)."""

    latents: Floats
    actions: Floats
    conditionings: Floats

    def some(self, count: int, seed: int) -> Proposals:
        """At most ``count`` of the sets, drawn at random."""
        chosen = np.random.default_rng(seed).permutation(len(self.latents))[:count]
        return Proposals(self.latents[chosen], self.actions[chosen], self.conditionings[chosen])

    def float_costs(self, weights: Weights, value_weight: float) -> Floats:
        """J (S, N) by the float model: costs along the way, and the weighted value at the end."""
        sets, candidates = self.actions.shape[:2]
        z, actions, c = self._rows()
        total = np.zeros(len(z), np.float32)
        for t in range(actions.shape[1]):
            z = float_step(weights, z, actions[:, t], c)
            total += float_head(weights, "cost", z, c)
        total += np.float32(value_weight) * float_head(weights, "value", z, c)
        return total.reshape(sets, candidates)

    def integer_costs(self, q: QuantisedModel, value_weight: float) -> Floats:
        """The same by the integer model."""
        model, (z, actions, c) = IntegerModel(q), self._rows()
        total = np.empty(len(z))
        for conditioning, chosen in by_goal(c):
            goal = model.goal(conditioning)
            path = model.rollout(goal, latent_to_q15(z[chosen]), actions_to_int8(actions[chosen]))
            costs = sum(model.cost(goal, path[:, t]) for t in range(path.shape[1]))
            total[chosen] = costs * float(q.goal.cost_unit)
            value = model.value(goal, path[:, -1]) * float(q.goal.value_unit)
            total[chosen] += value_weight * value
        return total.reshape(self.actions.shape[:2]).astype(np.float32)

    def _rows(self) -> tuple[Floats, Floats, Floats]:
        """Latents, actions and conditionings of every candidate, the set's first."""
        count = self.actions.shape[1]
        actions = self.actions.reshape(-1, *self.actions.shape[2:])
        return (
            np.repeat(self.latents, count, axis=0),
            actions,
            np.repeat(self.conditionings, count, axis=0),
        )


def imagined_control(
    q: QuantisedModel, starts: Rollouts, settings: PlannerSettings, seed: int
) -> tuple[Rollouts, Proposals]:
    """The integer planner in closed loop with the integer model, from each of the ``starts``.

    Args:
        starts: of its actions only their number is used.
        settings: the planner's, but for the size of a plan.

    Returns:
        Rollouts of the actions taken, and the candidates of every plan.
    """
    fitted = replace(
        settings, candidates=CANDIDATES, horizon=HORIZON, iterations=1, disagreement=0.0
    )
    steps = starts.actions.shape[1]
    taken, sets = [], []
    for index, (z, c) in enumerate(zip(starts.starts, starts.conditionings, strict=True)):
        planner = IntegerMppi(q, fitted, seed + index)
        told, moves = [], []
        for latent, candidates, action in _controlled(planner, z, c, steps):
            told.append((latent, candidates, c))
            moves.append(action)
        taken.append(np.concatenate(moves)[:steps])
        sets += told
    latents, actions, conditionings = (np.stack(column) for column in zip(*sets, strict=True))
    return (
        Rollouts(starts.starts, np.stack(taken), starts.conditionings),
        Proposals(latents, actions, conditionings),
    )


def _controlled(
    planner: IntegerMppi, z: Floats, c: Floats, steps: int
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Before each plan the latent (Z,), its candidates (N, H, A), the actions taken (REPLAN, A)."""
    model = planner.model
    goal, state = model.goal(c), latent_to_q15(z)
    warm = None
    for _ in range(0, steps, REPLAN):
        candidates = planner.candidates(*planner.start(goal, state, warm), 0)
        mean, _, _ = planner.plan(goal, state, warm)
        moves = actions_from_int16(mean[:REPLAN])
        told = (candidates * (256 / ACTION_ONE)).astype(np.float32)
        yield latent_from_q15(state), told, moves
        state = model.rollout(goal, state[None], actions_to_int8(moves)[None])[0, -1]
        warm = np.concatenate([mean[REPLAN:], np.repeat(mean[-1:], REPLAN, axis=0)])
