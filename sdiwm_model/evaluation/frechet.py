"""How far imagined video is from real video, as distributions: the Fréchet distance of features.

The Fréchet video distance of Unterthiner et al. (2018) is that of I3D's features. Those weights
are not part of this project, and a distance of other features is another number: it is called
``frechet_`` and the feature's name here, and ``fvd`` only where I3D itself is given.

A number alone says nothing. Clips are therefore split into two halves many times, and each half is
compared with what was made of the *other* one: with itself (the noise floor: what so few clips
cannot tell apart), with itself ever more corrupted (the ladder: what a known damage costs), and
with what a model made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import Array

Clips = NDArray[np.uint8]  # (N, T, H, W, 3)
Feature = Callable[[Clips], Array]  # clips -> (N, width)
NOISE = (8, 16, 32, 64)  # standard deviation, of 255
BLUR = (2, 4, 8)  # edge of a square of pixels that become their mean


def frechet_distance(first: Array, second: Array) -> float:
    """Squared distance of the normal distributions fitted to features (N, X) and (M, X).

    ||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Dowson and Landau (1982), eq. 4. With few samples
    it is biased upwards: compare only distances of the same N and M.
    """
    means = [each.mean(axis=0, dtype=np.float64) for each in (first, second)]
    c1, c2 = (np.atleast_2d(np.cov(e.astype(np.float64), rowvar=False)) for e in (first, second))
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c2 @ root), 0, None)).sum()
    apart = np.square(means[0] - means[1]).sum()
    return float(max(0.0, apart + np.trace(c1) + np.trace(c2) - 2 * shared))


def ladder(clips: Clips, seed: int) -> dict[str, list[Clips]]:
    """Corruptions by name, each from slight to grave: of pixels, of detail, and of motion alone."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(clips.shape, dtype=np.float32)
    order = rng.permuted(np.tile(np.arange(clips.shape[1]), (len(clips), 1)), axis=1)
    half = clips.copy()
    half[:, 1::2] = clips[:, : 2 * (clips.shape[1] // 2) : 2]
    return {
        "noise": [(clips + s * noise).round().clip(0, 255).astype(np.uint8) for s in NOISE],
        "blur": [_coarse(clips, edge) for edge in BLUR if not _edges(clips) % edge],
        "slow": [half, np.repeat(clips[:, :1], clips.shape[1], axis=1)],
        "shuffled": [np.take_along_axis(clips, order[:, :, None, None, None], axis=1)],
    }


def compare(
    feature: Feature, real: Clips, made: Mapping[str, Clips], splits: int, seed: int
) -> dict[str, Any]:
    """Distances of real clips to those that were made of them, with noise floor and ladder.

    Args:
        made: by name, clips (N, T, H, W, 3) made of the real ones of the same number.
        splits: how often the N clips are split into halves.

    Returns:
        ``noise_floor`` and each of ``made``: {mean, std, n: splits}; ``ladder``: by name, one of
        them a level; ``ordered``: whether each corruption costs more the graver it is, and more
        than the noise floor; ``clips``: of a half; ``width``: of the feature.

    Raises:
        SdiwmError: there are too few clips for a covariance.
    """
    if len(real) < 4:
        raise SdiwmError(f"{len(real)} clips are too few to compare: use more episodes or seeds")
    known = feature(real)
    made_features = {name: feature(clips) for name, clips in made.items()}
    steps = {n: [feature(c) for c in levels] for n, levels in ladder(real, seed).items()}
    rng = np.random.default_rng(seed)
    half = len(real) // 2
    halves = [np.split(rng.permutation(len(real))[: 2 * half], 2) for _ in range(splits)]

    def apart(other: Array) -> dict[str, Any]:
        found = [frechet_distance(known[a], other[b]) for a, b in halves]
        std = float(np.std(found, ddof=1)) if splits > 1 else None
        return {"mean": float(np.mean(found)), "std": std, "n": splits}

    floor = apart(known)
    rungs = {name: [apart(level) for level in levels] for name, levels in steps.items()}
    means = {name: [floor["mean"], *(r["mean"] for r in row)] for name, row in rungs.items()}
    return {
        "noise_floor": floor,
        **{name: apart(other) for name, other in made_features.items()},
        "ladder": rungs,
        "ordered": {name: bool((np.diff(row) > 0).all()) for name, row in means.items()},
        "clips": half,
        "width": known.shape[1],
    }


def cut_clips(film: NDArray[np.uint8], frames: int) -> Clips:
    """A film (L, S, S, 3 * cameras) as clips of ``frames`` pictures, cameras one below the other.

    What is left at the end is dropped.
    """
    count = len(film) // frames
    size = film.shape[1]
    views = film[: count * frames].reshape(count, frames, size, size, -1, 3)
    return np.moveaxis(views, 4, 2).reshape(count, frames, -1, size, 3)


def _edges(clips: Clips) -> int:
    return int(np.gcd(clips.shape[2], clips.shape[3]))


def _coarse(clips: Clips, edge: int) -> Clips:
    """Squares of ``edge`` pixels as their mean."""
    count, frames, height, width, _ = clips.shape
    cells = clips.reshape(count, frames, height // edge, edge, width // edge, edge, 3)
    means = cells.mean(axis=(3, 5), dtype=np.float32).round().astype(np.uint8)
    return means.repeat(edge, axis=2).repeat(edge, axis=3)
