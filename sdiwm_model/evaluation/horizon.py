"""The Horizon Reliability Index and its companions, as functions of latents.

Raw cosine similarity means nothing on latents: a constant prediction scores 0.94 where they have
an offset. So latents are whitened by the training episodes' statistics first, and every score
stands beside what needs no model.

Shapes: E episodes, S starts in each, T model steps, Z the width of a latent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError

Array = NDArray[np.floating[Any]]

SHRINKAGE = 0.1
DISTRACTORS = 256
ROUNDING = 1e-6  # latents of |z| <= 1 in float32 that differ by less are all the same


@dataclass(frozen=True)
class Whitening:
    """W (z - mean), with W W' the inverse of (1 - s) C + s (tr C / Z) I, s = 0.1, C the covariance.

    mean            (Z,) of latents of training episodes
    matrix          (Z, Z) W, symmetric
    effective_rank  exp of the entropy of the shares of C's eigenvalues; 0 where nothing varies
    std             (Z,) of each dimension
    """

    mean: Array
    matrix: Array
    effective_rank: float
    std: Array

    @staticmethod
    def fit(latents: Array, shrinkage: float = SHRINKAGE) -> Whitening:
        """Statistics of latents (..., Z)."""
        flat = np.asarray(latents, np.float64).reshape(-1, latents.shape[-1])
        if len(flat) < 2 or not np.isfinite(flat).all():
            raise SdiwmError("whitening needs two or more finite latents of training episodes")
        covariance = np.atleast_2d(np.cov(flat, rowvar=False))
        width = len(covariance)
        if np.trace(covariance) / width < ROUNDING**2:
            covariance = np.zeros_like(covariance)
        spread = np.trace(covariance) / width
        shrunk = (1 - shrinkage) * covariance + shrinkage * spread * np.eye(width)
        values, vectors = np.linalg.eigh(shrunk)
        scales = 1 / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
        return Whitening(
            mean=flat.mean(axis=0),
            matrix=(vectors * np.where(values > 0, scales, 0.0)) @ vectors.T,
            effective_rank=effective_rank(covariance),
            std=flat.std(axis=0),
        )

    def __call__(self, latents: Array) -> Array:
        """latents (..., Z) -> whitened (..., Z)."""
        return (latents - self.mean) @ self.matrix

    def centre(self, latents: Array) -> Array:
        """latents (..., Z) minus the mean."""
        return latents - self.mean


def effective_rank(covariance: Array) -> float:
    """exp of the entropy of the eigenvalues' shares (Roy and Vetterli, 2007); 0 for zeros."""
    values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def is_valid(rank: float, position_coordinates: int) -> bool:
    """False where latents span too little to hold half of what the task's joints and objects do."""
    return rank >= position_coordinates / 2


def cosine(a: Array, b: Array) -> Array:
    """Cosine of the angle along the last axis; 0 where a vector is zero and points nowhere."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    products = (a * b).sum(axis=-1)
    return np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)


def similarity(whitening: Whitening, predicted: Array, true: Array) -> Array:
    """Whitened cosine of predicted and true latents (E, S, ..., Z), meaned over starts: (E, ...).

    HRI@T is the mean over episodes of the entry at T.
    """
    return cosine(whitening(predicted), whitening(true)).mean(axis=1)


def centred_similarity(whitening: Whitening, predicted: Array, true: Array) -> Array:
    """As `similarity`, of latents that are centred and not whitened."""
    return cosine(whitening.centre(predicted), whitening.centre(true)).mean(axis=1)


def skill(hri: float, baselines: Mapping[str, float]) -> float:
    """(HRI - b) / (1 - b), with b the best baseline: 0 needs no model, 1 is perfect.

    NaN where a baseline is perfect already, since then nothing can be better.
    """
    best = max(baselines.values())
    return (hri - best) / (1 - best) if best < 1 else float("nan")


def whitened_r2(whitening: Whitening, predicted: Array, true: Array) -> float:
    """1 - sum |W (predicted - true)|^2 / sum |W (true - mean)|^2 over latents (..., Z)."""
    residual = np.square((predicted - true) @ whitening.matrix).sum()
    total = np.square(whitening(true)).sum()
    return float(1 - residual / total) if total > 0 else float("-inf")


def retrieval_at_1(
    whitening: Whitening,
    predicted: Array,
    true: Array,
    pool: Array,
    seed: int,
    distractors: int = DISTRACTORS,
) -> float:
    """How often a prediction's nearest latent is its own truth and not another episode's.

    Args:
        predicted, true: (E, Z), one of each episode.
        pool: (E, L, Z) true latents of the same episodes at all times; each prediction meets
            ``distractors`` of them, drawn from the other episodes.

    Raises:
        SdiwmError: the other episodes hold fewer latents than that.
    """
    episodes, length, _ = pool.shape
    if (episodes - 1) * length < distractors:
        raise SdiwmError(f"retrieval needs {distractors} latents of other episodes; record more")
    rng = np.random.default_rng(seed)
    queries, answers = whitening(predicted), whitening(true)
    candidates = whitening(pool).reshape(episodes * length, -1)
    hits = 0
    for episode in range(episodes):
        others = np.arange(episodes * length - length)
        others[episode * length :] += length
        drawn = candidates[rng.choice(others, distractors, replace=False)]
        nearest = np.linalg.norm(drawn - queries[episode], axis=1).min()
        hits += np.linalg.norm(answers[episode] - queries[episode]) < nearest
    return hits / episodes


def probe_errors(
    predicted: Array, true: Array, groups: Sequence[Mapping[str, Any]]
) -> dict[str, Array]:
    """Mean distance of predicted from true states (E, S, ..., state), by what the numbers describe.

    Angles (unit "rad") differ by at most half a turn. ``groups``: name, unit, first, count, width
    of each part of the state, as data manifests have it. Keys of the result end in the unit,
    e.g. ``pucks_m``; values have the shape (...).
    """
    errors = {}
    for group in groups:
        first, count, width = (group[key] for key in ("first", "count", "width"))
        difference = (predicted - true)[..., first : first + count * width]
        if group["unit"] == "rad":
            difference = (difference + np.pi) % (2 * np.pi) - np.pi
        points = difference.reshape(*difference.shape[:-1], count, width)
        distance = np.linalg.norm(points, axis=-1).mean(axis=-1)
        unit = group["unit"].replace("/", "_per_")
        errors[f"{group['name']}_{unit}"] = distance.mean(axis=(0, 1))
    return errors
