"""Ways to quantise one float model, each judged by what control needs: HRI, drift, ranking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdiwm_model.compression.activations import (
    Activations,
    Calibration,
    Rollouts,
    Weights,
    fusion_activations,
)
from sdiwm_model.compression.fixed_point import latent_from_q15
from sdiwm_model.compression.integer_reference import IntegerModel, fusion_inputs
from sdiwm_model.compression.judge import rank_correlation, regret
from sdiwm_model.compression.proposals import Proposals
from sdiwm_model.compression.quantise import as_one_estimate, build, quantise_fusion
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.compression.ranges import Ranges
from sdiwm_model.evaluation import horizon
from sdiwm_model.evaluation.horizon import Array, Whitening
from sdiwm_model.evaluation.imagination import spread_starts, windows
from sdiwm_model.evaluation.study import Study
from sdiwm_model.planning.candidates import propose
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.report import bootstrap_interval
from sdiwm_model.runtime.protocols import Runtime

STEPS = 32  # of a calibration rollout
STARTS = 3  # of them in each episode of the statistics
SETS, CANDIDATES, HORIZON = 128, 32, 12  # plans that are ranked, and their size
DRIFT_AT = (1, 8, 32, 100)
MIN_MAX, PERCENTILE = 1.0, 0.999


def calibration_of(study: Study, runtime: Runtime) -> Calibration:
    """What a training run keeps beside its weights, from the episodes of the statistics."""
    data = study.training
    starts = spread_starts(data.latents.shape[1], STEPS, STARTS)
    actions = windows(data.actions, starts, STEPS)
    return Calibration(
        latents=data.latents[:, starts].reshape(-1, data.latents.shape[-1]),
        actions=actions.reshape(-1, *actions.shape[2:]),
        conditionings=np.unique(study.conditionings(runtime), axis=0),
        features=data.features.reshape(-1, data.features.shape[-1]),
        proprio=data.proprio.reshape(-1, data.proprio.shape[-1]),
    )


def naive(weights: Weights, calibration: Calibration, quantile: float, seed: int) -> QuantisedModel:
    """What a general tool does: ranges of the float model under random actions, nearest weights.

    Args:
        quantile: of each tensor's values, its range; 1 for the largest.
    """
    rng = np.random.default_rng(seed)
    shape = calibration.actions.shape
    told = rng.integers(len(calibration.conditionings), size=shape[0])
    rollouts = Rollouts(
        calibration.latents,
        rng.uniform(-1, 1, shape).astype(np.float32),
        calibration.conditionings[told],
    )
    ranges = Ranges(quantile, 1.0, 1.0, 1.0, alike=1.0, cut=1.0, gates=0.0, feedback=False)
    weights = as_one_estimate(weights)
    fusion = quantise_fusion(weights, fusion_activations(weights, calibration), feedback=False)
    seen = Activations.along(weights, rollouts.by_float(weights), rollouts)
    return build(weights, fusion, seen, ranges)


@dataclass(frozen=True)
class Reference:
    """The float model's answers on held-out episodes.

    conditionings  (E, C)
    first, path    what it makes of the starts (E, S, Z), and imagines from there (E, S, T, Z)
    proposals      candidates around its own plans, and their costs (S', N)
    """

    weights: Weights
    study: Study
    whitening: Whitening
    conditionings: Array
    first: Array
    path: Array
    proposals: Proposals
    costs: Array
    value_weight: float

    @staticmethod
    def of(weights: Weights, runtime: Runtime, study: Study) -> Reference:
        """Ask the float model: ``runtime`` is its own, ``weights`` its state dict."""
        weights = as_one_estimate(weights)
        conditionings = study.conditionings(runtime)
        first = study.heldout.latents[:, study.starts]
        flat, shape = _flat(first, study.actions, conditionings)
        path = flat.by_float(weights)[1:].swapaxes(0, 1).reshape(*shape, -1)
        settings = runtime.manifest.planner
        proposals = _proposals(runtime, study, conditionings, settings)
        costs = proposals.float_costs(weights, settings.value_weight)
        return Reference(
            weights, study, Whitening.fit(study.training.latents), conditionings, first, path,
            proposals, costs, settings.value_weight,
        )  # fmt: skip

    def similarity(self, path: Array) -> Array:
        """Whitened cosine (E,) at the last step of imagined latents (E, S, T, Z)."""
        true = self.study.true[:, :, -1]
        return horizon.similarity(self.whitening, path[:, :, -1], true)

    def judge(self, q: QuantisedModel) -> dict[str, Any]:
        """The block of one integer model.

        HRI starts from what the integers themselves make of the features, drift from the float
        model's latents.
        """
        seed, steps = self.study.seeds[0], self.study.steps
        hri = self.similarity(self._imagined(q, self._fused(q)))
        lost = self.similarity(self.path) - hri
        apart = np.linalg.norm(self._imagined(q, self.first) - self.path, axis=-1)
        costs = self.proposals.integer_costs(q, self.value_weight)
        ranking, lose = rank_correlation(costs, self.costs), regret(costs, self.costs)
        return {
            f"hri_at_{steps}": mean(hri, seed),
            f"hri_lost_at_{steps}": mean(lost, seed),
            "drift": {
                str(k): mean(np.sqrt(np.square(apart[:, :, k - 1]).mean(axis=1)), seed)
                for k in DRIFT_AT
                if k <= steps
            },
            "cost_ranking": mean(ranking, seed),
            "plan_regret": mean(lose, seed),
        }

    def own(self) -> dict[str, Any]:
        """The float model's block."""
        return {f"hri_at_{self.study.steps}": mean(self.similarity(self.path), self.study.seeds[0])}

    def _fused(self, q: QuantisedModel) -> Array:
        data, starts = self.study.heldout, self.study.starts
        x = fusion_inputs(q, data.features[:, starts], data.proprio[:, starts])
        return latent_from_q15(IntegerModel(q).fuse(x))

    def _imagined(self, q: QuantisedModel, first: Array) -> Array:
        flat, shape = _flat(first, self.study.actions, self.conditionings)
        return flat.by_integers(q)[1:].swapaxes(0, 1).reshape(*shape, -1)


def mean(values: Array, seed: int) -> dict[str, Any]:
    """{mean, ci95, n} with the bootstrap over ``values`` (n,)."""
    return {
        "mean": float(values.mean()),
        "ci95": bootstrap_interval(values, seed),
        "n": len(values),
    }


def _flat(first: Array, actions: Array, conditionings: Array) -> tuple[Rollouts, tuple[int, ...]]:
    """first (E, S, Z), actions (E, S, T, A), conditionings (E, C) as rollouts; and (E, S, T)."""
    each = np.repeat(conditionings, first.shape[1], axis=0)
    return Rollouts(
        first.reshape(-1, first.shape[-1]).astype(np.float32),
        actions.reshape(-1, *actions.shape[2:]),
        each,
    ), actions.shape[:3]


def _proposals(
    runtime: Runtime, study: Study, conditionings: Array, settings: PlannerSettings
) -> Proposals:
    """Candidates around the float planner's own plans, from held-out latents."""
    rng = np.random.default_rng(study.seeds[0])
    fitted = replace(settings, candidates=CANDIDATES, horizon=HORIZON)
    sets = []
    for index in range(SETS):
        episode = index % len(conditionings)
        z = study.heldout.latents[episode, rng.integers(study.heldout.latents.shape[1])]
        c = conditionings[episode]
        plan = runtime.make_planner(fitted, index).plan(z, c, None).actions
        sigma = np.full_like(plan, fitted.sigma)
        sets.append((z, propose(rng, plan, None, sigma, fitted), c))
    latents, actions, told = (np.stack(column) for column in zip(*sets, strict=True))
    return Proposals(latents, actions, told)
