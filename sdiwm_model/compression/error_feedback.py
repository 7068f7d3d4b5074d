"""Rounding weights so that the layer's sums, not the weights, come out right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LARGEST = 127
DAMPING = 0.01  # of the mean variance: keeps weights near theirs where inputs never vary


def round_with_feedback(
    weight: Doubles, inputs: NDArray[np.floating]
) -> tuple[NDArray[np.int8], Doubles]:
    """Integers for a layer's weights, and what to add to its bias.

    One column after the other is rounded, the most varied input first, and what its rounding did
    to the sums is made up for by the columns still to come, as far as inputs vary together: the
    optimal brain surgeon's step (Hassibi and Stork 1993) in the order of GPTQ (Frantar et al.
    2023, algorithm 1). Latents fill few of their dimensions, so much can be made up for. The bias
    takes the part of the error that is the same for all inputs.

    Args:
        weight: (M, K) in the unit of each row's sum.
        inputs: (N, K) samples of what the layer takes in, in the unit of the integers.

    Returns:
        int8 weights (M, K) within +-127, and (M,) in the unit of the sums.
    """
    covariance = np.atleast_2d(np.cov(inputs, rowvar=False).astype(np.float64))
    covariance += max(DAMPING * covariance.diagonal().mean(), 1e-9) * np.eye(len(covariance))
    order = np.argsort(-covariance.diagonal(), kind="stable")
    spread = np.linalg.cholesky(np.linalg.inv(covariance[np.ix_(order, order)])).T
    left = weight[:, order].astype(np.float64)
    rounded = np.empty_like(left)
    for k in range(len(order)):
        rounded[:, k] = np.clip(np.rint(left[:, k]), -LARGEST, LARGEST)
        error = (left[:, k] - rounded[:, k]) / spread[k, k]
        left[:, k + 1 :] -= np.outer(error, spread[k, k + 1 :])
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result.astype(np.int8), (weight - result) @ inputs.mean(axis=0, dtype=np.float64)
