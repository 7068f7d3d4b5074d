"""Whether models of different latents rank the same plans alike, from the same observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdiwm_model.compression.judge import rank_correlation, regret
from sdiwm_model.evaluation.horizon import Array
from sdiwm_model.evaluation.study import Study
from sdiwm_model.planning.candidates import propose
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.protocols import Runtime

SETS, CANDIDATES, HORIZON = 96, 32, 12


@dataclass(frozen=True)
class Situations:
    """Moments of held-out episodes, and plans to be ranked at each.

    episodes, times  (S,) where they are
    actions          candidates (S, N, H, A) around plans of the model that is compared with
    value_weight     of the value at a plan's end
    """

    episodes: np.ndarray
    times: np.ndarray
    actions: Array
    value_weight: float

    @staticmethod
    def of(runtime: Runtime, study: Study) -> Situations:
        """Moments drawn at random, one episode after the other; plans are ``runtime``'s own."""
        rng = np.random.default_rng(study.seeds[0])
        count, length = study.heldout.latents.shape[:2]
        episodes = np.arange(SETS) % count
        times = rng.integers(study.heldout.frames - 1, length, size=SETS)
        settings = runtime.manifest.planner
        fitted = replace(settings, candidates=CANDIDATES, horizon=HORIZON, iterations=1)
        told = study.conditionings(runtime)
        actions = [
            _around_plan(runtime, study.heldout.latents[e, t], told[e], fitted, rng)
            for e, t in zip(episodes, times, strict=True)
        ]
        return Situations(episodes, times, np.stack(actions), settings.value_weight)

    def costs(self, runtime: Runtime, study: Study) -> Array:
        """Costs (S, N) by a model that makes its own latents of the recorded observations."""
        told, data = study.conditionings(runtime), study.heldout
        dynamics: Any = runtime.dynamics  # type: ignore[attr-defined]
        rows = []
        for e, t, actions in zip(self.episodes, self.times, self.actions, strict=True):
            z = runtime.fuse(data.features[e, t], data.proprio[e, t])
            rows.append(dynamics.rollout_cost(z, actions, told[e], self.value_weight))
        return np.stack(rows)


def agreement(costs: Array, true: Array) -> dict[str, Array]:
    """Of costs (S, N): rank correlation, and what choosing by them loses by ``true`` ones, (S,)."""
    return {
        "cost_rank_correlation": rank_correlation(costs, true),
        "plan_regret": regret(costs, true),
    }


def _around_plan(
    runtime: Runtime, z: Array, c: Array, settings: PlannerSettings, rng: np.random.Generator
) -> Array:
    plan = runtime.make_planner(settings, int(rng.integers(2**32))).plan(z, c, None).actions
    return propose(rng, plan, None, np.full_like(plan, settings.sigma), settings)
