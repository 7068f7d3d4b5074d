"""What MPPI and CEM share: where a plan starts, which candidates it tries, what each costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, Dynamics, PlannerSettings, fit_horizon


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


def start_plan(
    dynamics: Dynamics, z: Array, c: Array, settings: PlannerSettings, warm_start: Array | None
) -> tuple[Array, Array | None]:
    """The mean that a plan starts from (H, A), and the prior's sequence (H, A) or None.

    The mean is the warm start clipped to [-1, 1]; without one the prior's sequence, or zeros.
    """
    shape = (settings.horizon, dynamics.action_size)
    proposed = dynamics.prior(z, c) if settings.use_prior else None
    prior = None if proposed is None else fit_horizon(proposed, settings.horizon)
    if warm_start is None:
        return (np.zeros(shape, np.float32) if prior is None else prior), prior
    if warm_start.shape != shape:
        raise SdiwmError(
            f"The warm start has shape {warm_start.shape}; this planner takes "
            f"{shape} (horizon, actions)."
        )
    return np.clip(warm_start, -1.0, 1.0).astype(np.float32), prior


def propose(
    rng: np.random.Generator,
    mean: Array,
    prior: Array | None,
    sigma: NDArray[np.float32],
    settings: PlannerSettings,
    proposals: Array | None = None,
) -> Array:
    """Candidates (N, H, A): noise of spread sigma around mean (H, A), and what may be better.

    Candidate 0 is the mean itself, 1 stands still, and where there is a prior (H, A) 2 is its
    sequence. No others scatter around the prior: the softmax would average its bias into every
    plan, and the arm would rest beside its target. Proposals (P, H, A) are the last candidates.
    """
    noise = correlated_noise(rng, (settings.candidates, *mean.shape), settings.beta) * sigma
    actions = mean + noise
    actions[0] = mean
    actions[1] = 0.0
    if prior is not None:
        actions[2:3] = prior
    if proposals is not None:
        actions[len(actions) - len(proposals) :] = proposals
    return np.clip(actions, -1.0, 1.0)


def candidate_costs(
    dynamics: Dynamics, z: Array, actions: Array, c: Array, settings: PlannerSettings
) -> Array:
    """J of each candidate (N, H, A) -> (N,): costs, weighted value, weighted smoothness.

    Raises SdiwmError where the model predicts a NaN or an infinity.
    """
    costs = dynamics.rollout_cost(z, actions, c, settings.value_weight, settings.disagreement)
    if settings.smoothness > 0.0:
        costs = costs + settings.smoothness * smoothness_cost(actions)
    if not np.isfinite(costs).all():
        raise SdiwmError("The model's predicted costs are not finite: check z, c and the weights.")
    return costs
