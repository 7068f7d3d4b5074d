"""The integer operations that every target has, each defined once; int64 arrays in and out.

`mulhrs` is x86's pmulhrsw and Arm's (V)QRDMULH for 16-bit operands that are not both -32768. The
engine never multiplies two numbers that could both be -32768: one factor is never negative, or
is kept at -32767 and above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]

ACTION_ONE = 127 * 256  # action 1.0 in the planner's 16-bit unit; its 8-bit copy is then 127
LATENT_ONE = 32768  # latent 1.0 in Q15; the state itself stays within +-32767
LARGEST_SHIFT = 24
ZERO_POINT = 128  # 8-bit latents and actions enter a product as value + 128


def saturate16(x: ArrayLike) -> Integers:
    """Clamp to the range of int16."""
    return np.clip(np.asarray(x, np.int64), -32768, 32767)


def mulhrs(a: ArrayLike, b: ArrayLike) -> Integers:
    """Q15 product of int16 values, half rounded up: (a * b + 2^14) >> 15."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + 16384) >> 15


def requantise(accumulator: ArrayLike, shift: ArrayLike, multiplier: ArrayLike) -> Integers:
    """int32 sum -> int16: mulhrs(saturate16(sum >> shift), multiplier).

    The shift is arithmetic; what makes it round to nearest is folded into the bias.
    """
    shifted = np.asarray(accumulator, np.int64) >> np.asarray(shift, np.int64)
    return mulhrs(saturate16(shifted), multiplier)


def requantisation(ratio: ArrayLike, bits: int) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """(multiplier, shift) of `requantise`: multiplier * 2^-(15 + shift) ~ ratio < 1.

    The multiplier is below 2^bits and above half of that, as far as shifts allow. The result
    saturates at about the multiplier.
    """
    ratio = np.maximum(np.asarray(ratio, np.float64), 2.0**-38)
    shift = np.clip(np.ceil(bits - 15 - np.log2(ratio)) - 1, 0, LARGEST_SHIFT)
    multiplier = np.clip(np.rint(ratio * 2.0 ** (15 + shift)), 0, 32767)
    return multiplier.astype(np.int16), shift.astype(np.int32)


def rounding(shift: ArrayLike) -> Integers:
    """What, added before it, makes an arithmetic shift round half up."""
    return (np.int64(1) << np.asarray(shift, np.int64)) >> 1


def to_int8(x: ArrayLike) -> Integers:
    """The 8-bit copy of a 16-bit value: saturate16(x + 128) >> 8."""
    return saturate16(np.asarray(x, np.int64) + 128) >> 8


def product(x: Integers, weight: NDArray[np.int8], largest: int = 255) -> Integers:
    """x (..., K) within +-largest, weight (M, K) -> sums (..., M).

    Runs on BLAS in floats, which is exact here: every partial sum is below 2^24 in float32, or
    below 2^53 in float64 where ``largest`` and K do not promise that.
    """
    if largest * 128 * weight.shape[1] < 2**24:
        return (x.astype(np.float32) @ weight.astype(np.float32).T).astype(np.int64)
    return (x.astype(np.float64) @ weight.astype(np.float64).T).astype(np.int64)


def latent_to_q15(z: ArrayLike) -> NDArray[np.int16]:
    """Latents in [-1, 1] -> int16 Q15, half rounded to even, kept within +-32767."""
    scaled = np.rint(np.asarray(z, np.float32) * np.float32(LATENT_ONE))
    return np.clip(scaled, -32767, 32767).astype(np.int16)


def latent_from_q15(z: NDArray[np.int16]) -> NDArray[np.float32]:
    """Int16 Q15 -> float32 latents."""
    return z.astype(np.float32) / np.float32(LATENT_ONE)


def actions_to_int16(a: ArrayLike) -> NDArray[np.int16]:
    """Actions in [-1, 1] -> int16 of which 32512 is 1.0, half rounded to even."""
    scaled = np.rint(np.asarray(a, np.float32) * np.float32(ACTION_ONE))
    return np.clip(scaled, -ACTION_ONE, ACTION_ONE).astype(np.int16)


def actions_from_int16(a: NDArray[np.int16]) -> NDArray[np.float32]:
    """Int16 of which 32512 is 1.0 -> float32 actions."""
    return a.astype(np.float32) / np.float32(ACTION_ONE)


def actions_to_int8(a: ArrayLike) -> NDArray[np.int8]:
    """Actions in [-1, 1] -> the int8 the model sees, of which 127 is 1.0."""
    return to_int8(actions_to_int16(a)).astype(np.int8)
