"""MPPI without a float: noise, weights and mean, as every generated engine computes them.

The algorithm is that of `sdiwm_model.planning.mppi`; here every operation is an integer one with
a stated rounding, so that a PC and a microcontroller return the same plan.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import (
    ACTION_ONE,
    Integers,
    mulhrs,
    saturate16,
    to_int8,
)
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
from sdiwm_model.compression.tables import NORMAL_ONE, exp2_table, normal_table
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings, fit_horizon

MAX_CANDIDATES = 2048  # up to here the softmax sums of the vector kernels fit into int32
MAX_HORIZON = 64
NOISE_SHARE = 4  # the noise state is in units of 4 action units, so that it spans +-4 actions
COST_LIMIT = 2**28  # terminal value and smoothness saturate here, so that J stays below 2^31
OCTAVES_Q32 = round(256 * math.log2(math.e) * 2**32)  # nats -> 1/256 octaves
_NORMAL = normal_table().astype(np.int64)
BEYOND = 11  # a candidate 11 temperatures worse has weight 32767 exp(-11) < 1: none


class PlannerIntegers(ctypes.Structure):
    """The engine's `PlannerSettings` structure; each field's rounding is to nearest.

    first_gain, gain   Q15: noise table << 8 -> noise state, at the first step and later
    beta               Q15
    temperature        Q16 share of (mean - best)
    temperature_floor  in units of cost, at least 1
    value, smoothness  multiplier below 2^15 and right shift: head units or (127 a)^2 -> cost
    use_prior          1: the policy prior proposes a plan
    cold               1: no warm start, the mean starts from the prior's sequence or from zeros
    """

    _fields_ = [
        ("candidates", ctypes.c_int32),
        ("horizon", ctypes.c_int32),
        ("iterations", ctypes.c_int32),
        ("first_gain", ctypes.c_int32),
        ("gain", ctypes.c_int32),
        ("beta", ctypes.c_int32),
        ("temperature", ctypes.c_uint32),
        ("temperature_floor", ctypes.c_uint32),
        ("value_multiplier", ctypes.c_int32),
        ("value_shift", ctypes.c_int32),
        ("smoothness_multiplier", ctypes.c_int32),
        ("smoothness_shift", ctypes.c_int32),
        ("use_prior", ctypes.c_int32),
        ("cold", ctypes.c_int32),
        ("seed", ctypes.c_uint32),
        ("plan", ctypes.c_uint32),
    ]


def planner_integers(q: QuantisedModel, settings: PlannerSettings, seed: int) -> PlannerIntegers:
    """Settings -> integers.

    Raises:
        SdiwmError: a setting that the integer engine cannot hold.
    """
    gain = settings.sigma * ACTION_ONE / NOISE_SHARE / (256 * NORMAL_ONE)
    limits = {
        "candidates": (settings.candidates, MAX_CANDIDATES),
        "horizon": (settings.horizon, MAX_HORIZON),
        "sigma": (settings.sigma, math.floor(100 * settings.sigma * 32767 / 32768 / gain) / 100),
        "temperature": (settings.temperature, 16.0),
    }
    for name, (asked, largest) in limits.items():
        if asked > largest:
            raise SdiwmError(
                f"planner.{name} is {asked}: the integer engine takes {largest} at most."
            )
    if settings.disagreement > 0.0:
        raise SdiwmError(
            f"planner.disagreement is {settings.disagreement}: the integer engine holds only the "
            "mean of an ensemble; set it to 0, or use the back end onnx or torch."
        )
    if not 0 <= seed < 2**32:
        raise SdiwmError(f"The planner's seed is {seed}: use 0 to 2**32 - 1.")
    cost_unit = float(q.goal.cost_unit)
    value = _ratio(settings.value_weight * float(q.goal.value_unit) / cost_unit, "value_weight")
    smoothness = _ratio(settings.smoothness / 127**2 / cost_unit, "smoothness")
    return PlannerIntegers(
        candidates=settings.candidates,
        horizon=settings.horizon,
        iterations=settings.iterations,
        first_gain=round(32768 * gain),
        gain=round(32768 * gain * math.sqrt(1 - settings.beta**2)),
        beta=min(32767, round(32768 * settings.beta)),
        temperature=round(65536 * settings.temperature),
        temperature_floor=min(COST_LIMIT, max(1, round(settings.temperature_floor / cost_unit))),
        value_multiplier=value[0],
        value_shift=value[1],
        smoothness_multiplier=smoothness[0],
        smoothness_shift=smoothness[1],
        use_prior=int(settings.use_prior and q.prior is not None),
        cold=0,
        seed=seed,
        plan=0,
    )


def _ratio(ratio: float, name: str) -> tuple[int, int]:
    """(multiplier < 2^15, shift) with multiplier / 2^shift ~ ratio."""
    if ratio == 0.0:
        return 0, 0
    shift = 14 - math.floor(math.log2(ratio))
    if shift < 0:
        raise SdiwmError(f"planner.{name} is too large for the integer engine: make it smaller.")
    shift = min(shift, 40)
    return min(32767, round(ratio * 2.0**shift)), shift


def philox(counter: Integers, key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox4x32-10 of counters (..., 4) -> four 32-bit words each (..., 4).

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        first = c0 * np.uint64(0xD2511F53)
        second = c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (second >> half) ^ c1 ^ np.uint64(k0),
            second & low,
            (first >> half) ^ c3 ^ np.uint64(k1),
            first & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def normal_bytes(
    candidates: int, step: int, iteration: int, groups: int, key: tuple[int, int]
) -> Integers:
    """Normals (N, 4 * groups) of one step, in units of 1/40.

    Counter (16 * (candidate / 64) + candidate % 16, step, iteration, group of four actions); the
    word is candidate / 16 % 4, its bytes from the lowest are the actions.
    """
    n = np.arange(candidates)
    counter = np.zeros((candidates, groups, 4), np.int64)
    counter[..., 0] = (16 * (n // 64) + n % 16)[:, None]
    counter[..., 1] = step
    counter[..., 2] = iteration
    counter[..., 3] = np.arange(groups)
    words = philox(counter, key)[n, :, n // 16 % 4]
    byte = (words[..., None] >> np.arange(0, 32, 8, dtype=np.uint64)) & np.uint64(255)
    byte = byte.reshape(candidates, 4 * groups).astype(np.int64)
    magnitude = _NORMAL[byte & 127]
    return np.where(byte & 128, -magnitude, magnitude)


class IntegerMppi:
    """The whole plan; `plan` increments the plan number, so successive calls differ."""

    def __init__(self, q: QuantisedModel, settings: PlannerSettings, seed: int) -> None:
        self.model = IntegerModel(q)
        self.integers = planner_integers(q, settings, seed)

    def plan(
        self, goal: Goal, z: NDArray[np.int16], warm_start: NDArray[np.int16] | None
    ) -> tuple[NDArray[np.int16], int, Integers]:
        """z (Z,), warm_start (H, A) or None -> new mean, best cost, last costs (N,)."""
        mean, prior = self.start(goal, z, warm_start)
        best, costs = 2**31 - 1, np.zeros(0, np.int64)
        for iteration in range(self.integers.iterations):
            actions = self.candidates(mean, prior, iteration)
            costs = self.costs(goal, z, actions)
            mean = weighted_mean(actions, softmax_weights(costs, self.integers))
            best = min(best, int(costs.min()))
        self.integers.plan = (self.integers.plan + 1) & 0xFFFFFFFF
        return mean, best, costs

    def start(
        self, goal: Goal, z: NDArray[np.int16], warm_start: NDArray[np.int16] | None
    ) -> tuple[NDArray[np.int16], NDArray[np.int16] | None]:
        """The mean that a plan starts from (H, A), and the prior's sequence (H, A) or None."""
        horizon = self.integers.horizon
        prior = None
        if self.integers.use_prior:
            prior = fit_horizon(self.model.prior(goal, z), horizon)
        if warm_start is not None:
            return warm_start, prior
        rest = np.zeros((horizon, self.model.q.action), np.int16)
        return (rest if prior is None else prior), prior

    def candidates(
        self, mean: NDArray[np.int16], prior: NDArray[np.int16] | None, iteration: int
    ) -> NDArray[np.int8]:
        """Mean, prior (H, A) -> actions (N, H, A): clip(mean + AR(1) noise).

        Row 0 is the mean, 1 zeros, 2 the prior's sequence where there is one.
        """
        s = self.integers
        horizon, width = mean.shape
        actions = np.empty((s.candidates, horizon, width), np.int8)
        noise = np.zeros((s.candidates, width), np.int64)
        for t in range(horizon):
            groups = -(-width // 4)
            normal = normal_bytes(s.candidates, t, iteration, groups, (s.seed, s.plan))[:, :width]
            fresh = mulhrs(normal << 8, s.gain if t else s.first_gain)
            noise = saturate16(mulhrs(noise, s.beta) + fresh)
            moved = saturate16(mean[t].astype(np.int64) + saturate16(NOISE_SHARE * noise))
            moved[0], moved[1] = mean[t], 0
            if prior is not None:
                moved[2:3] = prior[t]
            actions[:, t] = to_int8(np.clip(moved, -ACTION_ONE, ACTION_ONE))
        return actions

    def costs(self, goal: Goal, z: NDArray[np.int16], actions: NDArray[np.int8]) -> Integers:
        """z (Z,), actions (N, H, A) -> J (N,) in units of cost."""
        s = self.integers
        state = np.repeat(z[None], len(actions), axis=0)
        total = np.zeros(len(actions), np.int64)
        for t in range(actions.shape[1]):
            state = self.model.step(goal, state, actions[:, t])
            total += self.model.cost(goal, state)
        value = self.model.value(goal, state)
        total += _scaled(value, s.value_multiplier, s.value_shift)
        rough = np.square(np.diff(actions.astype(np.int64), axis=1)).sum(axis=(1, 2))
        return total + _scaled(rough, s.smoothness_multiplier, s.smoothness_shift)


def _scaled(x: Integers, multiplier: int, shift: int) -> Integers:
    """x * multiplier / 2^shift, half rounded up, saturated to +-2^28."""
    return np.clip((x * multiplier + ((1 << shift) >> 1)) >> shift, -COST_LIMIT, COST_LIMIT)


def softmax_weights(costs: Integers, s: PlannerIntegers) -> Integers:
    """costs (N,) -> weights (N,) from 0 to 32767: exp(-(J - min) / lambda) by the exp2 table.

    lambda = max(floor, temperature * mean(J - min)), one integer division, rounded down.
    """
    worse = [int(j) for j in costs - costs.min()]
    share = sum(worse) * int(s.temperature) // (len(worse) << 16)
    temperature = max(int(s.temperature_floor), share)
    octaves = OCTAVES_Q32 // temperature
    table = exp2_table()
    weights = np.zeros(len(worse), np.int64)
    for i, j in enumerate(worse):
        if j < BEYOND * temperature:
            steps = (j * octaves) >> 32
            weights[i] = int(table[steps & 255]) >> (steps >> 8)
    return weights


def weighted_mean(actions: NDArray[np.int8], weights: Integers) -> NDArray[np.int16]:
    """actions (N, H, A), weights (N,) -> sum(w a) * 256 / sum(w), half away from zero (H, A)."""
    total = int(weights.sum())
    sums = np.tensordot(weights, actions.astype(np.int64), axes=1) * 256
    rounded = (2 * np.abs(sums) + total) // (2 * total)
    return (np.sign(sums) * rounded).astype(np.int16)
