"""Model-predictive path integral control: the reference in numpy, against any Dynamics."""

from __future__ import annotations

import time

import numpy as np

from sdiwm_model.planning.candidates import candidate_costs, propose, start_plan
from sdiwm_model.planning.protocols import Array, Dynamics, Plan, PlannerSettings


class Mppi:
    """Softmax-weighted mean of noisy copies of the previous plan (Williams et al., 2017).

    The candidates are those of `candidates.propose`. The temperature follows the spread of the
    costs: lambda = max(floor, temperature * (mean J - min J)).
    """

    def __init__(self, dynamics: Dynamics, settings: PlannerSettings, seed: int) -> None:
        self.dynamics = dynamics
        self.settings = settings
        self._rng = np.random.default_rng(seed)

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) or None -> Plan; its cost is the best candidate's."""
        return self.plan_among(z, c, warm_start, None)

    def plan_among(
        self, z: Array, c: Array, warm_start: Array | None, proposals: Array | None
    ) -> Plan:
        """The same with proposals (P, H, A) among the candidates, P at most candidates - 3."""
        began = time.perf_counter()
        mean, prior = start_plan(self.dynamics, z, c, self.settings, warm_start)
        sigma = np.full_like(mean, self.settings.sigma)
        best = np.inf
        for _ in range(self.settings.iterations):
            actions = propose(self._rng, mean, prior, sigma, self.settings, proposals)
            costs = candidate_costs(self.dynamics, z, actions, c, self.settings)
            mean = self._weighted_mean(actions, costs)
            best = min(best, float(costs.min()))
        return Plan(mean, best, time.perf_counter() - began)

    def _weighted_mean(self, actions: Array, costs: Array) -> Array:
        spread = costs - costs.min()
        temperature = self.settings.temperature * float(spread.mean())
        weights = np.exp(-spread / max(self.settings.temperature_floor, temperature))
        mean = np.tensordot(weights / weights.sum(), actions, axes=1)
        return np.clip(mean, -1.0, 1.0).astype(np.float32)
