"""Which tokens of the imagined future are kept where half of them are dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.planning.protocols import Array

Kept = NDArray[np.int64]


def any_half(tokens: int, rng: np.random.Generator) -> Kept:
    """Half of ``tokens`` at random, at least one, ascending."""
    return np.sort(rng.permutation(tokens)[: max(1, tokens // 2)])


def best_half(scores: Array) -> Kept:
    """The half of the tokens with the highest scores (N,), at least one, ascending."""
    order = np.argsort(-scores, kind="stable")
    return np.sort(order[: max(1, len(scores) // 2)])
