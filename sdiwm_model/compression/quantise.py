"""Post-training quantisation, calibrated on rollouts of the quantised model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.activations import (
    Activations,
    Calibration,
    Floats,
    Rollouts,
    Weights,
    fusion_activations,
)
from sdiwm_model.compression.error_feedback import round_with_feedback
from sdiwm_model.compression.fixed_point import LATENT_ONE, ZERO_POINT, requantisation, rounding
from sdiwm_model.compression.quantised_model import (
    HEAD_FRACTION,
    FusionUnits,
    GoalUnits,
    Layer,
    PriorUnits,
    QuantisedModel,
)

Doubles = NDArray[np.float64]
Units = dict[str, Any]  # fields of GoalUnits or PriorUnits

ACTION_UNIT = 1 / 127
LATENT_UNIT = 256 / LATENT_ONE
GATE_UNIT = 2.0**-12  # of the pre-activations of r, u and n
SUM_LIMIT = 2.0**24  # largest bias in the unit of an 8-bit layer's sum
SUM_LIMIT_16 = 2.0**28  # and of a 16-bit layer's
HEADROOM = 1.5  # of activations above the largest value seen
QUANTILE = 0.9999  # of the heads' 8-bit activations; what lies above saturates


def quantise(weights: Weights, calibration: Calibration, seed: int = 0) -> QuantisedModel:
    """Quantise a float model (names and shapes of a bundle's model.safetensors).

    Layers are calibrated on float rollouts first, then on rollouts of the integer model that this
    gave; half of the rollouts follow recorded actions, half planner-like noise. Of an ensemble of
    cost heads the mean is kept, which is a linear output too.

    Raises:
        SdiwmError: bad calibration.
    """
    calibration.check()
    weights = {name: np.asarray(w, np.float32) for name, w in weights.items()}
    for part in ("weight", "bias"):
        every = weights[f"cost.output.{part}"]
        weights[f"cost.output.{part}"] = every.mean(axis=0, keepdims=True)
    rollouts = Rollouts.draw(calibration, seed)
    fusion = fusion_activations(weights, calibration)
    seen = Activations.along(weights, rollouts.by_float(weights), rollouts)
    first = _build(weights, fusion, seen)
    seen = Activations.along(weights, rollouts.by_integers(first), rollouts)
    return _build(weights, fusion, seen)


def _high(x: Floats) -> float:
    return max(float(np.quantile(x, QUANTILE)), 1e-3)


def _hidden_units(weights: Weights, hidden: Floats) -> Doubles:
    """Unit (D,) of each 8-bit hidden channel (N, D).

    One range for all, except that a channel which alone would drive a gate beyond its 16 bits
    saturates there: so the unit of its weights can be that of the gate.
    """
    heaviest = np.abs(weights["dynamics.gru_input.weight"]).max(axis=0).astype(np.float64)
    whole_gate = 127 * 255 * GATE_UNIT / np.maximum(heaviest, 1e-6)
    return np.minimum(max(HEADROOM * float(hidden.max()), 1e-3), whole_gate) / 255


def _build(weights: Weights, fusion_inputs: list[Floats], seen: Activations) -> QuantisedModel:
    layers, fusion = _quantise_fusion(weights, fusion_inputs)
    hidden_unit = _hidden_units(weights, seen.hidden)
    inputs, input_unit = _quantise_input(weights, seen, hidden_unit)
    layers |= inputs | _quantise_gru(weights, seen, hidden_unit)
    units: dict[str, Units] = {}
    for head in seen.heads:
        head_layers, units[head], output_unit = _quantise_head(weights, head, seen)
        layers |= head_layers
        if head != "prior":
            units[head]["unit"] = np.array(output_unit[0])
    prior = PriorUnits(**units.pop("prior")) if "prior" in units else None
    prefixed = {f"{head}_{name}": u for head, fields in units.items() for name, u in fields.items()}
    sees_c = slice(-weights["cost.gain.weight"].shape[1], None)
    goal = GoalUnits(
        input_weight=np.ascontiguousarray(weights["dynamics.input.weight"][:, sees_c]),
        input_bias=weights["dynamics.input.bias"],
        input_unit=input_unit,
        **prefixed,
    )
    return QuantisedModel(layers, goal, fusion, prior)


def _rows(
    effective: Doubles, bias: Doubles, bias_range: Doubles, limit: float, inputs: Floats
) -> tuple[NDArray[np.int8], Doubles, Doubles]:
    """int8 weights (M, K), the unit (M,) of each row's sum, and the bias (M,) in that unit.

    `effective` is weight * unit of its input, `inputs` (N, K) are samples in those units. The unit
    is never so small that the bias leaves `limit`: a row of zeros still has its bias.
    """
    unit = np.maximum(np.abs(effective).max(axis=1) / 127, bias_range / limit)
    unit = np.maximum(unit, 1e-12)
    weight, correction = round_with_feedback(effective / unit[:, None], inputs)
    return weight, unit, bias / unit + correction


def _layer(
    weight: NDArray[np.int8],
    bias: Doubles,
    offset_columns: slice,
    scale: tuple[NDArray[np.int16], NDArray[np.int32]],
) -> Layer:
    """`bias` is in the unit of the sum; inputs in `offset_columns` carry the zero point 128."""
    multiplier, shift = scale
    offset = ZERO_POINT * weight[:, offset_columns].astype(np.int64).sum(axis=1)
    folded = np.rint(bias).astype(np.int64) - offset + rounding(shift)
    return Layer(weight, folded.astype(np.int32), shift, multiplier)


def _quantise_fusion(
    weights: Weights, inputs: list[Floats]
) -> tuple[dict[str, Layer], FusionUnits]:
    largest = [max(1.0, HEADROOM * float(np.abs(inputs[0]).max()))]
    largest += [max(HEADROOM * float(hidden.max()), 1e-3) for hidden in inputs[1:]]
    units = [*(each / 32767 for each in largest), 2.0**-13]  # the last: Q13 for tanh
    layers = {}
    for i in range(3):
        bias = weights[f"fusion.{i}.bias"].astype(np.float64)
        effective = weights[f"fusion.{i}.weight"].astype(np.float64) * units[i]
        weight, unit, bias = _rows(
            effective, bias, np.abs(bias), SUM_LIMIT_16, inputs[i] / units[i]
        )
        scale = requantisation(unit / units[i + 1], 15)
        layers[f"fusion_{i}"] = _layer(weight, bias, slice(0), scale)
    return layers, FusionUnits(
        weights["fusion.proprio_mean"], weights["fusion.proprio_std"], np.array(units[0])
    )


def _quantise_input(
    weights: Weights, seen: Activations, hidden_unit: Doubles
) -> tuple[dict[str, Layer], Doubles]:
    latent = weights["fusion.2.weight"].shape[0]
    conditioning = weights["cost.gain.weight"].shape[1]
    full = weights["dynamics.input.weight"].astype(np.float64)
    action = full.shape[1] - latent - conditioning
    effective = full[:, : latent + action].copy()
    effective[:, :latent] *= LATENT_UNIT
    effective[:, latent:] *= ACTION_UNIT
    bias_range = np.abs(weights["dynamics.input.bias"]) + np.abs(full[:, latent + action :]).sum(1)
    inputs = np.hstack([seen.latents / LATENT_UNIT, seen.actions / ACTION_UNIT])
    weight, unit, bias = _rows(effective, np.zeros(len(full)), bias_range, SUM_LIMIT, inputs)
    layer = _layer(weight, bias, slice(None), requantisation(unit / hidden_unit, 11))
    return {"input": layer}, unit


def _quantise_gru(weights: Weights, seen: Activations, x_unit: Doubles) -> dict[str, Layer]:
    """Gates r and u have one sum over [x, z]; n has one over x and one over z, for r * (U z)."""
    wr, wu, wn = np.split(weights["dynamics.gru_input.weight"].astype(np.float64) * x_unit, 3)
    hr, hu, hn = np.split(weights["dynamics.gru_hidden.weight"].astype(np.float64) * LATENT_UNIT, 3)
    br, bu, bn = np.split(weights["dynamics.gru_input.bias"].astype(np.float64), 3)
    cr, cu, cn = np.split(weights["dynamics.gru_hidden.bias"].astype(np.float64), 3)
    width = wr.shape[1]
    x, z = np.minimum(seen.hidden / x_unit, 255), seen.latents / LATENT_UNIT
    both = np.hstack([x, z])
    rows = {
        "reset": (np.hstack([wr, hr]), br + cr, slice(width, None), both),
        "update": (np.hstack([wu, hu]), bu + cu, slice(width, None), both),
        "candidate_input": (wn, bn, slice(0), x),
        "candidate_hidden": (hn, cn, slice(None), z),
    }
    layers = {}
    for name, (effective, bias, offset_columns, inputs) in rows.items():
        weight, unit, bias = _rows(effective, bias, np.abs(bias), SUM_LIMIT, inputs)
        scale = requantisation(unit / GATE_UNIT, 15)
        layers[name] = _layer(weight, bias, offset_columns, scale)
    return layers


def _quantise_head(
    weights: Weights, head: str, seen: Activations
) -> tuple[dict[str, Layer], Units, Doubles]:
    """Two layers, their units for FiLM, and the unit (out,) of the output layer's sums."""
    hidden = seen.heads[head]
    effective = weights[f"{head}.input.weight"].astype(np.float64) * LATENT_UNIT
    nothing = np.zeros(len(effective))
    weight, unit, bias = _rows(effective, nothing, nothing, SUM_LIMIT, seen.latents / LATENT_UNIT)
    hidden_unit = max(_high(hidden) / 255, HEAD_FRACTION * float(unit.max()))  # multipliers <= 1
    fine = hidden_unit / HEAD_FRACTION
    never_saturates = np.ceil(np.log2(np.abs(weight).sum(axis=1) * 128.0 / 32767 + 1e-9))
    multiplier_fits = np.floor(-np.log2(unit / fine))
    shift = np.clip(np.minimum(never_saturates, multiplier_fits), 0, 24).astype(np.int32)
    gain_unit = np.minimum(unit / fine * 2.0 ** (15 + shift), 32767.0)
    inputs = _layer(weight, bias, slice(None), (np.zeros_like(shift, np.int16), shift))
    out_bias = weights[f"{head}.output.bias"].astype(np.float64)
    out_effective = weights[f"{head}.output.weight"].astype(np.float64) * hidden_unit
    out_weight, out_unit, out_bias = _rows(
        out_effective, out_bias, np.abs(out_bias), SUM_LIMIT, np.minimum(hidden / hidden_unit, 255)
    )
    scale = (np.zeros(1, np.int16), np.zeros(1, np.int32))  # a cost is read from the sum itself
    if head == "prior":
        scale = requantisation(out_unit * 2.0**12, 15)  # Q12, before tanh
    output = _layer(out_weight, out_bias, slice(0), scale)
    units = {
        "gain_weight": weights[f"{head}.gain.weight"],
        "gain_bias": weights[f"{head}.gain.bias"],
        "gain_unit": gain_unit,
        "shift_weight": weights[f"{head}.shift.weight"],
        "shift_bias": weights[f"{head}.shift.bias"],
        "shift_unit": np.array(fine),
    }
    return {f"{head}_input": inputs, f"{head}_output": output}, units, out_unit
