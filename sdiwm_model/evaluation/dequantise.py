"""The real-valued dynamics that an int8 engine rounds: for bounds on its weights as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import ZERO_POINT
from sdiwm_model.compression.quantise import ACTION_UNIT, GATE_UNIT, LATENT_UNIT
from sdiwm_model.compression.quantised_model import Layer, QuantisedModel
from sdiwm_model.evaluation.lipschitz import INPUT_LIMIT

Floats = NDArray[np.float64]


def dequantised_dynamics(q: QuantisedModel) -> dict[str, Floats]:
    """Tensors named as in a float model's state dict (`dynamics.*`), from the integers of ``q``.

    The hidden layer x is in the engine's own 8-bit unit, with the limit at which it saturates.
    Rounding is left out: see `sdiwm_model.evaluation.rounding`.
    """
    first = unit_of_sum(q.layers["input"])
    weight = q.layers["input"].weight * first
    sentence = first / q.goal.input_unit[:, None]
    into = [
        weight[:, : q.latent] / LATENT_UNIT,
        weight[:, q.latent :] / ACTION_UNIT,
        q.goal.input_weight * sentence,
    ]
    hidden = len(weight)
    reset, update = (_gate(q.layers[name]) for name in ("reset", "update"))
    from_x, from_z = _gate(q.layers["candidate_input"]), _gate(q.layers["candidate_hidden"])
    none = np.zeros(q.latent)
    return {
        "dynamics.input.weight": np.hstack(into),
        INPUT_LIMIT: np.array(255.0),
        "dynamics.input.bias": q.goal.input_bias * sentence[:, 0],
        "dynamics.gru_input.weight": np.vstack([reset[:, :hidden], update[:, :hidden], from_x]),
        "dynamics.gru_input.bias": np.concatenate(
            [
                _bias(q.layers["reset"], slice(hidden, None)),
                _bias(q.layers["update"], slice(hidden, None)),
                _bias(q.layers["candidate_input"], slice(0)),
            ]
        ),
        "dynamics.gru_hidden.weight": np.vstack([reset[:, hidden:], update[:, hidden:], from_z])
        / LATENT_UNIT,
        "dynamics.gru_hidden.bias": np.concatenate(
            [none, none, _bias(q.layers["candidate_hidden"], slice(None))]
        ),
    }


def unit_of_sum(layer: Layer) -> Floats:
    """What 1 in each row's sum becomes in the layer's output, (out, 1)."""
    return (layer.multiplier * 2.0 ** -(15.0 + layer.shift))[:, None]


def _gate(layer: Layer) -> Floats:
    return layer.weight * unit_of_sum(layer) * GATE_UNIT


def _bias(layer: Layer, offset_columns: slice) -> Floats:
    """The bias without the zero points and the rounding that were folded into it."""
    zero_points = ZERO_POINT * layer.weight[:, offset_columns].astype(np.int64).sum(axis=1)
    rounding = (1 << layer.shift.astype(np.int64)) >> 1
    return (layer.bias + zero_points - rounding) * unit_of_sum(layer)[:, 0] * GATE_UNIT
