"""How far a step of the int8 engine can be from the real-valued dynamics whose weights it holds.

The engine F rounds z to int8 where it enters a product, every sum, and the tables; f is what
`dequantise` gives. Interval arithmetic over all latents, int8 actions and conditionings within
[-1, 1] bounds d = |F - f|_inf, so two latents obey |F(z) - F(z~)|_inf <= L |z - z~|_inf + 2 d, with
L the certified bound of f: rounding adds a constant and no slope. After T steps that is at most
L^T |z - z~| + 2 d (1 + L + ... + L^(T-1)). The worst case of every rounding at once does not
happen: measured errors are much smaller.
"""

from __future__ import annotations

import numpy as np

from sdiwm_model.compression.fixed_point import LATENT_ONE
from sdiwm_model.compression.quantise import GATE_UNIT
from sdiwm_model.compression.quantised_model import Layer, QuantisedModel
from sdiwm_model.compression.tables import sigmoid_q15, tanh_q15
from sdiwm_model.evaluation.dequantise import dequantised_dynamics, unit_of_sum
from sdiwm_model.evaluation.lipschitz import (
    Array,
    Interval,
    ranges,
    sigmoid_slope,
    spread,
    thirds,
)

LATENT_ERROR = 255 / LATENT_ONE  # of the 8-bit copy of z: half a unit, and almost one at z = 1


def rounding_error(q: QuantisedModel) -> float:
    """d of the module's docstring."""
    w = dequantised_dynamics(q)
    box, layers = ranges(w), q.layers
    from_x, from_z = thirds(w["dynamics.gru_input.weight"]), thirds(w["dynamics.gru_hidden.weight"])
    inputs = layers["input"]
    of_z = _row_sums(w["dynamics.input.weight"][:, : q.latent]) * LATENT_ERROR
    x = of_z + 0.5 * unit_of_sum(inputs)[:, 0] + 0.5 * inputs.multiplier / 2.0**15 + 0.5
    via_x = [np.abs(v) @ x for v in from_x]
    via_z = [_row_sums(v) * LATENT_ERROR for v in from_z]

    def gate(third: int, layer: Layer) -> Array:
        before = box.inputs[third] + box.hidden[third]
        error = via_x[third] + via_z[third] + _rounded(layer)
        flat = (_saturated(layer, before) > 0) / (1 + np.exp(_largest(layer)))
        return np.minimum(sigmoid_slope(before.wider(error)) * error + flat + SIGMOID_ERROR, 1)

    r, u = gate(0, layers["reset"]), gate(1, layers["update"])
    hidden = via_z[2] + _sum_error(layers["candidate_hidden"], box.hidden[2])
    gated = box.hidden[2].magnitude() * r + hidden + 0.5 * GATE_UNIT
    before = via_x[2] + _sum_error(layers["candidate_input"], box.inputs[2]) + gated
    n = np.minimum(before + TANH_ERROR, 2)
    mixed = spread(box.q) * u + np.minimum(1 - box.u.low + u, 1) * n + 2 / LATENT_ONE
    return min(float(mixed.max()), 2.0)  # both are within [-1, 1]


def _sum_error(layer: Layer, value: Interval) -> Array:
    """Of a pre-activation: rounding and what saturates, (out,)."""
    return _rounded(layer) + _saturated(layer, value)


def _rounded(layer: Layer) -> Array:
    """By the shift and the multiplier."""
    return (0.5 * layer.multiplier / 2.0**15 + 0.5) * GATE_UNIT


def _largest(layer: Layer) -> Array:
    """Where a pre-activation saturates."""
    return (layer.multiplier - 1.0) * GATE_UNIT


def _saturated(layer: Layer, value: Interval) -> Array:
    return np.maximum(value.magnitude() - _largest(layer), 0)


def _row_sums(matrix: Array) -> Array:
    return np.abs(matrix).sum(axis=1)


def _table_errors() -> tuple[float, float]:
    """Of the logistic function and of tanh in Q15, over all reals: both saturate at their ends."""
    every = np.arange(-32768, 32768, dtype=np.int64)
    sigmoid = sigmoid_q15(every) / LATENT_ONE - 0.5 * (1 + np.tanh(0.5 * every / 2.0**12))
    tanh = tanh_q15(every) / LATENT_ONE - np.tanh(every / 2.0**13)
    ends = [1 - sigmoid_q15(every)[-1] / LATENT_ONE, 1 - tanh_q15(every)[-1] / LATENT_ONE]
    return max(np.abs(sigmoid).max(), ends[0]), max(np.abs(tanh).max(), ends[1])


SIGMOID_ERROR, TANH_ERROR = _table_errors()
