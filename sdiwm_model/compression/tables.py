"""The three tables of the engine, shipped as constants so that no target evaluates a function.

No entry lies within 1e-6 of a rounding boundary, so every libm gives the same integers; a test
pins them.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import Integers, mulhrs

TANH_SEGMENTS = 64
TANH_STEP = 1 / 16  # width of a segment; the table ends at 4
NORMAL_ONE = 40  # standard deviation 1 in the 8-bit normal table
WEIGHT_ONE = 32767  # the best candidate's softmax weight


def tanh_tables() -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Value and rise (64,) of tanh in Q15 over segments of 1/16.

    A chord of a concave curve lies below it by up to h^2 |f''| / 8; raising each node by half of
    that halves the largest error (to 2.2e-4).
    """
    nodes = []
    for i in range(TANH_SEGMENTS + 1):
        y = math.tanh(i * TANH_STEP)
        curvature = -2.0 * y * (1.0 - y * y)
        nodes.append(min(32767, round(32768 * (y - curvature * TANH_STEP**2 / 16))))
    values = np.array(nodes, np.int16)
    return values[:-1], np.diff(values)


def normal_table() -> NDArray[np.int8]:
    """Positive half (128,) of the normal quantiles, unit variance at 40; bit 7 is the sign."""
    normal = NormalDist()
    quantiles = [normal.inv_cdf(0.5 + (i + 0.5) / 256) for i in range(128)]
    spread = math.sqrt(sum(q * q for q in quantiles) / 128)
    return np.array([round(NORMAL_ONE * q / spread) for q in quantiles], np.int8)


def exp2_table() -> NDArray[np.uint16]:
    """Softmax weight (256,) of a candidate that is i/256 octaves worse than the best."""
    return np.array([round(WEIGHT_ONE * 2.0 ** (-i / 256)) for i in range(256)], np.uint16)


_TANH_VALUE, _TANH_RISE = tanh_tables()


def tanh_q15(x: Integers) -> Integers:
    """tanh of an int16 in Q13 (so [-4, 4)), in Q15; odd, linear between the table's nodes."""
    magnitude = np.minimum(np.abs(x), 32767)
    segment, fraction = magnitude >> 9, magnitude & 511
    y = _TANH_VALUE[segment] + mulhrs(_TANH_RISE[segment], fraction << 6)
    return np.where(x < 0, -y, y)


def sigmoid_q15(x: Integers) -> Integers:
    """Logistic function of an int16 in Q12 (so [-8, 8)), in Q15: (1 + tanh(x / 2)) / 2."""
    return 16384 + (tanh_q15(x) >> 1)
