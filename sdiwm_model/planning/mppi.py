"""Model-predictive path integral control: the reference in numpy, against any Dynamics."""

from __future__ import annotations

import time

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, Dynamics, Plan, PlannerSettings


def correlated_noise(rng: np.random.Generator, shape: tuple[int, int, int], beta: float) -> Array:
    """AR(1) noise of unit variance (N, H, A): e_t = beta e_{t-1} + sqrt(1 - beta^2) n_t."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    fresh = np.float32(np.sqrt(1.0 - beta * beta))
    for t in range(1, shape[1]):
        noise[:, t] = np.float32(beta) * noise[:, t - 1] + fresh * noise[:, t]
    return noise


def smoothness_cost(actions: Array) -> Array:
    """Sum over time and joints of squared differences of successive actions (N, H, A) -> (N,)."""
    return np.square(np.diff(actions, axis=1)).sum(axis=(1, 2), dtype=np.float32)


def start_mean(warm_start: Array | None, horizon: int, action_size: int) -> Array:
    """The mean a plan starts from (H, A): the warm start clipped to [-1, 1], or zeros."""
    if warm_start is None:
        return np.zeros((horizon, action_size), np.float32)
    if warm_start.shape != (horizon, action_size):
        raise SdiwmError(
            f"The warm start has shape {warm_start.shape}; this planner takes "
            f"{(horizon, action_size)} (horizon, actions)."
        )
    return np.clip(warm_start, -1.0, 1.0).astype(np.float32)


def candidate_costs(
    dynamics: Dynamics, z: Array, actions: Array, c: Array, settings: PlannerSettings
) -> Array:
    """J of each candidate (N, H, A) -> (N,): costs, weighted value, weighted smoothness.

    Raises SdiwmError where the model predicts a NaN or an infinity.
    """
    costs = dynamics.rollout_cost(z, actions, c, settings.value_weight)
    if settings.smoothness > 0.0:
        costs = costs + settings.smoothness * smoothness_cost(actions)
    if not np.isfinite(costs).all():
        raise SdiwmError("The model's predicted costs are not finite: check z, c and the weights.")
    return costs


class Mppi:
    """Softmax-weighted mean of noisy copies of the previous plan (Williams et al., 2017).

    Candidate 0 is the mean itself, candidate 1 stands still. The temperature follows the
    spread of the costs: lambda = max(floor, temperature * (mean J - min J)).
    """

    def __init__(self, dynamics: Dynamics, settings: PlannerSettings, seed: int) -> None:
        self.dynamics = dynamics
        self.settings = settings
        self._rng = np.random.default_rng(seed)

    def plan(self, z: Array, c: Array, warm_start: Array | None = None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) or None -> Plan; its cost is the best candidate's."""
        began = time.perf_counter()
        mean = start_mean(warm_start, self.settings.horizon, self.dynamics.action_size)
        best = np.inf
        for _ in range(self.settings.iterations):
            actions = self._candidates(mean)
            costs = candidate_costs(self.dynamics, z, actions, c, self.settings)
            mean = self._weighted_mean(actions, costs)
            best = min(best, float(costs.min()))
        return Plan(mean, best, time.perf_counter() - began)

    def _candidates(self, mean: Array) -> Array:
        shape = (self.settings.candidates, *mean.shape)
        noise = correlated_noise(self._rng, shape, self.settings.beta)
        actions = np.clip(mean + np.float32(self.settings.sigma) * noise, -1.0, 1.0)
        actions[0] = mean
        actions[1] = 0.0
        return actions

    def _weighted_mean(self, actions: Array, costs: Array) -> Array:
        spread = costs - costs.min()
        temperature = self.settings.temperature * float(spread.mean())
        weights = np.exp(-spread / max(self.settings.temperature_floor, temperature))
        mean = np.tensordot(weights / weights.sum(), actions, axes=1)
        return np.clip(mean, -1.0, 1.0).astype(np.float32)
