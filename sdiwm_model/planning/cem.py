"""Cross-entropy method: the mean and spread of the best candidates, refined in turns."""

from __future__ import annotations

import time

import numpy as np

from sdiwm_model.planning.candidates import candidate_costs, propose, start_plan
from sdiwm_model.planning.protocols import Array, Dynamics, Plan, PlannerSettings

ELITE_SHARE = 0.1
"""Share of the candidates that the next mean and spread are fitted to."""
SMALLEST_SIGMA = 0.05
"""Spread below which the search would stop looking, in units of the action's limit."""


class Cem:
    """Same seams as Mppi; `temperature` is unused, several `iterations` are what it lives from.

    It returns the best candidate seen, which is never worse than the warm start, standing still
    or the prior's sequence (candidates 0 to 2).
    """

    def __init__(self, dynamics: Dynamics, settings: PlannerSettings, seed: int) -> None:
        self.dynamics = dynamics
        self.settings = settings
        self._rng = np.random.default_rng(seed)

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) or None -> Plan; its cost is that of its actions."""
        began = time.perf_counter()
        mean, prior = start_plan(self.dynamics, z, c, self.settings, warm_start)
        sigma = np.full_like(mean, self.settings.sigma)
        elites = max(2, round(ELITE_SHARE * self.settings.candidates))
        best, best_cost = mean, np.inf
        for _ in range(self.settings.iterations):
            actions = propose(self._rng, mean, prior, sigma, self.settings)
            costs = candidate_costs(self.dynamics, z, actions, c, self.settings)
            order = np.argsort(costs, kind="stable")[:elites]
            if costs[order[0]] < best_cost:
                best, best_cost = actions[order[0]], float(costs[order[0]])
            mean = actions[order].mean(axis=0)
            sigma = np.maximum(actions[order].std(axis=0), SMALLEST_SIGMA)
        return Plan(best.copy(), best_cost, time.perf_counter() - began)
