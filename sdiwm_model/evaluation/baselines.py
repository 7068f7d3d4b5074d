"""What a world model must beat: predictions of latents that need no model, or a linear one.

Shapes as in `horizon`: E episodes, S starts in each, T model steps, Z latents, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdiwm_model.evaluation.horizon import Array


def persistence(first: Array, steps: int) -> Array:
    """Nothing changes: latents at the starts (E, S, Z) -> (E, S, T, Z)."""
    return np.broadcast_to(first[:, :, None], (*first.shape[:2], steps, first.shape[-1]))


def shuffled_in_time(actions: Array, seed: int) -> Array:
    """Every start's actions (E, S, T, A) in an order of their own."""
    rng = np.random.default_rng(seed)
    order = rng.random(actions.shape[:3]).argsort(axis=2)
    return np.take_along_axis(actions, order[..., None], axis=2)


def time_mean(training: Array, starts: np.ndarray, steps: int) -> Array:
    """Mean of training latents (N, L, Z) at the same time of an episode: (S, T, Z).

    Beyond the training episodes' end it is that of their last step.
    """
    when = starts[:, None] + np.arange(1, steps + 1)
    return training.mean(axis=0)[np.minimum(when, training.shape[1] - 1)]


@dataclass(frozen=True)
class LinearModel:
    """z' = [z, a, 1] M, kept in [-1, 1] where latents live."""

    matrix: Array

    @staticmethod
    def fit(latents: Array, actions: Array, ridge: float = 1e-6) -> LinearModel:
        """Least squares over the steps of training episodes: (N, L, Z) and (N, L, A)."""
        x = _with_one(latents[:, :-1], actions[:, :-1])
        x = x.reshape(-1, x.shape[-1])
        y = latents[:, 1:].reshape(len(x), -1).astype(np.float64)
        penalty = ridge * np.square(x).mean() * len(x) * np.eye(x.shape[1])
        return LinearModel(np.linalg.solve(x.T @ x + penalty, x.T @ y))

    def rollout(self, first: Array, actions: Array) -> Array:
        """(E, S, Z), (E, S, T, A) -> (E, S, T, Z)."""
        z, latents = first, []
        for t in range(actions.shape[2]):
            z = np.clip(_with_one(z, actions[:, :, t]) @ self.matrix, -1, 1)
            latents.append(z)
        return np.stack(latents, axis=2)


def _with_one(latents: Array, actions: Array) -> Array:
    ones = np.ones((*latents.shape[:-1], 1))
    return np.concatenate([latents, actions, ones], axis=-1, dtype=np.float64)
