"""Real factors as integers, beside those of `fixed_point.requantisation`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

LARGEST_SUM = 2.0**31 - 2.0**25  # of a 32-bit accumulator, the rounding of any shift left out
WEIGHT_BITS_16 = 15  # bits of the multiplier for 16-bit results
WEIGHT_BITS_8 = 12  # for 8-bit ones: 3 to 4 fractional bits are left before it
ADD_BITS = 14


def addition(ratios: list[float]) -> tuple[list[int], int]:
    """(multipliers, shift): multiplier * 2^-shift ~ ratio, each multiplier at most 2^14."""
    largest = max(abs(ratio) for ratio in ratios)
    shift = int(np.clip(np.floor(ADD_BITS - np.log2(max(largest, 2.0**-30))), 0, 22))
    limit = 1 << ADD_BITS
    return [int(np.clip(np.rint(r * 2.0**shift), -limit, limit)) for r in ratios], shift


def quantise_rows(
    effective: Reals, bias: Reals, input_limit: float
) -> tuple[NDArray[np.int8], Reals, NDArray[np.int64]]:
    """Weights of a layer, one unit a row.

    effective    (O, K) weight * unit of its input
    bias         (O,) in the unit of the output's real numbers
    input_limit  largest magnitude of an input integer

    Returns:
        int8 weights (O, K), the unit (O,) of each row's sum, the bias (O,) in that unit. Units
        are as fine as weights of 127 allow, and so coarse that no sum leaves 32 bits.
    """
    unit = np.abs(effective).max(axis=1) / 127
    reach = np.abs(effective).sum(axis=1) * input_limit + np.abs(bias)
    unit = np.maximum(np.maximum(unit, 1.01 * reach / LARGEST_SUM), 1e-30)
    weight = np.rint(effective / unit[:, None]).astype(np.int8)
    return weight, unit, np.rint(bias / unit).astype(np.int64)


def power_of_two_above(x: float) -> float:
    """The smallest power of two that is not below x > 0."""
    return float(2.0 ** np.ceil(np.log2(x)))
