"""The model in integers, in numpy: what every generated engine must equal bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.compression.fixed_point import (
    ACTION_ONE,
    ZERO_POINT,
    Integers,
    mulhrs,
    product,
    requantise,
    saturate16,
    to_int8,
)
from sdiwm_model.compression.quantised_model import Goal, Layer, QuantisedModel, make_goal
from sdiwm_model.compression.tables import sigmoid_q15, tanh_q15
from sdiwm_model.errors import SdiwmError


def fusion_inputs(q: QuantisedModel, features: ArrayLike, proprio: ArrayLike) -> NDArray[np.int16]:
    """features (..., E), proprio (..., P) in SI units -> int16 (..., E + P).

    Half is rounded to even, what leaves the calibrated range saturates.

    Raises:
        SdiwmError: wrong widths, or a value that is not finite.
    """
    features, proprio = np.asarray(features, np.float32), np.asarray(proprio, np.float32)
    if features.shape[-1:] != (q.features,) or proprio.shape[-1:] != (q.proprio,):
        raise SdiwmError(
            f"fuse takes features ({q.features},) and proprio ({q.proprio},), not "
            f"{features.shape} and {proprio.shape}: check the task and the bundle."
        )
    normalised = (proprio - q.fusion.proprio_mean) / q.fusion.proprio_std
    x = np.concatenate([features, normalised], axis=-1) * np.float32(1 / q.fusion.input_unit)
    if not np.isfinite(x).all():
        raise SdiwmError("features or proprio hold NaN or infinity: check camera and joint state.")
    return np.clip(np.rint(x), -32767, 32767).astype(np.int16)


class IntegerModel:
    """Fusion, one model step, the heads and the policy prior; N is any batch size.

    Latents are int16 Q15 within +-32767, actions int8 of which 127 is 1.0.
    """

    def __init__(self, q: QuantisedModel) -> None:
        self.q = q
        self._layers = q.layers

    def goal(self, c: ArrayLike) -> Goal:
        """c (C,) -> its integers."""
        return make_goal(self.q, c)

    def fuse(self, x: NDArray[np.int16]) -> NDArray[np.int16]:
        """Inputs (..., E + P) of `fusion_inputs` -> latents (..., Z)."""
        y = x.astype(np.int64)
        for name in ("fusion_0", "fusion_1"):
            y = np.maximum(self._dense(name, y, 32767), 0)
        return tanh_q15(self._dense("fusion_2", y, 32767)).astype(np.int16)

    def step(self, goal: Goal, z: NDArray[np.int16], a: NDArray[np.int8]) -> NDArray[np.int16]:
        """z (N, Z), a (N, A) -> next latents (N, Z)."""
        state = z.astype(np.int64)
        z8 = to_int8(state) + ZERO_POINT
        a8 = a.astype(np.int64) + ZERO_POINT
        inputs = self._layers["input"]
        sums = product(np.concatenate([z8, a8], axis=-1), inputs.weight) + goal.input_bias
        x = np.clip(requantise(sums, inputs.shift, inputs.multiplier), 0, 255)
        both = np.concatenate([x, z8], axis=-1)
        r = sigmoid_q15(self._dense("reset", both))
        u = sigmoid_q15(self._dense("update", both))
        hidden = mulhrs(r, self._dense("candidate_hidden", z8))
        before = saturate16(self._dense("candidate_input", x) + hidden)
        n = tanh_q15(saturate16(2 * before))  # Q12 -> Q13
        return (mulhrs(u, state) + mulhrs(32767 - u, n)).astype(np.int16)

    def rollout(
        self, goal: Goal, z: NDArray[np.int16], actions: NDArray[np.int8]
    ) -> NDArray[np.int16]:
        """z (N, Z), actions (N, T, A) -> latents (N, T, Z)."""
        path = np.empty((len(z), actions.shape[1], self.q.latent), np.int16)
        for t in range(actions.shape[1]):
            z = path[:, t] = self.step(goal, z, actions[:, t])
        return path

    def cost(self, goal: Goal, z: NDArray[np.int16]) -> Integers:
        """z (N, Z) -> cost (N,) in units of `q.goal.cost_unit`."""
        return self._head("cost", goal.cost_gain, goal.cost_shift, z)

    def value(self, goal: Goal, z: NDArray[np.int16]) -> Integers:
        """z (N, Z) -> value (N,) in units of `q.goal.value_unit`."""
        return self._head("value", goal.value_gain, goal.value_shift, z)

    def prior(self, goal: Goal, z: NDArray[np.int16]) -> NDArray[np.int16]:
        """z (Z,) -> the policy prior's actions (h, A) in the planner's 16-bit unit."""
        hidden = self._hidden("prior", goal.prior_gain, goal.prior_shift, z)
        before = saturate16(2 * self._dense("prior_output", hidden))  # Q12 -> Q13
        return mulhrs(tanh_q15(before), ACTION_ONE).astype(np.int16).reshape(-1, self.q.action)

    def _dense(self, name: str, x: Integers, largest: int = 255) -> Integers:
        layer: Layer = self._layers[name]
        sums = product(x, layer.weight, largest) + layer.bias
        return requantise(sums, layer.shift, layer.multiplier)

    def _head(
        self, head: str, gain: NDArray[np.int16], shift: NDArray[np.int16], z: NDArray[np.int16]
    ) -> Integers:
        output = self._layers[f"{head}_output"]
        hidden = self._hidden(head, gain, shift, z)
        return (product(hidden, output.weight) + output.bias)[..., 0]

    def _hidden(
        self, head: str, gain: NDArray[np.int16], shift: NDArray[np.int16], z: NDArray[np.int16]
    ) -> Integers:
        layer = self._layers[f"{head}_input"]
        sums = product(to_int8(z) + ZERO_POINT, layer.weight) + layer.bias
        y = saturate16(requantise(sums, layer.shift, gain) + shift)
        return np.clip(y >> 4, 0, 255)  # the shift carries half of HEAD_FRACTION: this rounds
