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
from sdiwm_model.compression.ranges import Ranges

Doubles = NDArray[np.float64]
Units = dict[str, Any]  # fields of GoalUnits or PriorUnits
Fusion = tuple[dict[str, Layer], FusionUnits]

ACTION_UNIT = 1 / 127
LATENT_UNIT = 256 / LATENT_ONE
GATE_UNIT = 2.0**-12  # of the pre-activations of r, u and n
GATE_ROW_UNIT = GATE_UNIT * 32767 / 32768  # largest unit of a gate's sum: no multiplier is above 1
SUM_LIMIT = 2.0**24  # largest bias in the unit of an 8-bit layer's sum
SUM_LIMIT_16 = 2.0**28  # and of a 16-bit layer's
PRODUCTS_LIMIT_16 = 2.0**30  # of a 16-bit layer's products together, that its sum has 32 bits
HEADROOM = 1.5  # of the fusion network's 16-bit activations above the largest value seen


def quantise(
    weights: Weights, calibration: Calibration, seed: int = 0, ranges: Ranges | None = None
) -> QuantisedModel:
    """Quantise a float model (names and shapes of a bundle's model.safetensors) with given ranges.

    Layers are calibrated on float rollouts first, then on rollouts of the integer model that this
    gave; half of the rollouts follow recorded actions, half planner-like noise.
    `compression.search` is what chooses the ranges.

    Raises:
        SdiwmError: bad calibration.
    """
    calibration.check()
    weights, ranges = as_one_estimate(weights), ranges or Ranges()
    rollouts = Rollouts.draw(calibration, seed)
    fusion = quantise_fusion(weights, fusion_activations(weights, calibration))
    seen = Activations.along(weights, rollouts.by_float(weights), rollouts)
    first = build(weights, fusion, seen, ranges)
    seen = Activations.along(weights, rollouts.by_integers(first), rollouts)
    return build(weights, fusion, seen, ranges)


def as_one_estimate(weights: Weights) -> dict[str, Floats]:
    """Float32 weights, of an ensemble of cost heads the mean: a linear output as each of them."""
    weights = {name: np.asarray(w, np.float32) for name, w in weights.items()}
    for part in ("weight", "bias"):
        every = weights[f"cost.output.{part}"]
        weights[f"cost.output.{part}"] = every.mean(axis=0, keepdims=True)
    return weights


def hidden_units(weights: Weights, hidden: Floats, ranges: Ranges) -> Doubles:
    """Unit (D,) of each 8-bit hidden channel (N, D)."""
    heaviest = np.abs(weights["dynamics.gru_input.weight"]).max(axis=0).astype(np.float64)
    whole_gate = 127 * 255 * GATE_UNIT / np.maximum(heaviest, 1e-6)
    return np.minimum(ranges.of_channels(hidden), ranges.cut * whole_gate) / 255


def build(weights: Weights, fusion: Fusion, seen: Activations, ranges: Ranges) -> QuantisedModel:
    """Everything but the fusion network, which ranges leave alone, from what its layers take in."""
    layers, fusion_units = dict(fusion[0]), fusion[1]
    hidden_unit = hidden_units(weights, seen.hidden, ranges)
    inputs, input_unit = _quantise_input(weights, seen, hidden_unit, ranges)
    layers |= inputs | _quantise_gru(weights, seen, hidden_unit, ranges)
    units: dict[str, Units] = {}
    for head in seen.heads:
        head_layers, units[head], output_unit = _quantise_head(weights, head, seen, ranges)
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
    return QuantisedModel(layers, goal, fusion_units, prior)


def row_units(effective: Doubles, bias_range: Doubles, limit: float) -> Doubles:
    """Unit (M,) of each row's sum; `effective` (M, K) is weight * unit of its input.

    Never so small that the bias leaves `limit`: a row of zeros still has its bias.
    """
    unit = np.maximum(np.abs(effective).max(axis=1) / 127, bias_range / limit)
    return np.maximum(unit, 1e-12)


def gate_units(effective: Doubles, bias: Doubles, inputs: Floats, ranges: Ranges) -> Doubles:
    """Units (M,) of a gate's rows, such that its 16 bits hold the sums that `inputs` (N, K) give.

    A gate saturates at its multiplier, see `requantisation`: a wider range is a larger unit, up to
    twice as large. No unit is above the gate's own; heavier weights than that saturate.
    """
    largest = ranges.gates * np.abs(inputs @ effective.T + bias).max(axis=0)
    unit = np.minimum(row_units(effective, np.abs(bias), SUM_LIMIT), GATE_ROW_UNIT)
    multiplier, _ = requantisation(unit / GATE_UNIT, 15)
    wanted = np.minimum(np.ceil(largest / GATE_UNIT) + 1, 32767)
    return unit * np.maximum(wanted / np.maximum(multiplier, 1), 1)


def _rounded(
    effective: Doubles, bias: Doubles, unit: Doubles, inputs: Floats, feedback: bool = True
) -> tuple[NDArray[np.int8], Doubles]:
    """int8 weights (M, K), and the bias (M,) in the unit (M,) of each row's sum.

    `inputs` (N, K) are samples in the units of the integers.
    """
    scaled = effective / unit[:, None]
    if not feedback:
        return np.clip(np.rint(scaled), -127, 127).astype(np.int8), bias / unit
    weight, correction = round_with_feedback(scaled, inputs)
    return weight, bias / unit + correction


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


def quantise_fusion(weights: Weights, inputs: list[Floats], feedback: bool = True) -> Fusion:
    """The three layers from samples (F, ...) of what each takes in, and the units of the first."""
    largest = [max(1.0, HEADROOM * float(np.abs(inputs[0]).max()))]
    largest += [max(HEADROOM * float(hidden.max()), 1e-3) for hidden in inputs[1:]]
    units = [*(each / 32767 for each in largest), 2.0**-13]  # the last: Q13 for tanh
    layers = {}
    for i in range(3):
        bias = weights[f"fusion.{i}.bias"].astype(np.float64)
        effective = weights[f"fusion.{i}.weight"].astype(np.float64) * units[i]
        heaviest = 32767 * np.abs(effective).sum(axis=1) / PRODUCTS_LIMIT_16
        unit = np.maximum(row_units(effective, np.abs(bias), SUM_LIMIT_16), heaviest)
        weight, bias = _rounded(effective, bias, unit, inputs[i] / units[i], feedback)
        scale = requantisation(unit / units[i + 1], 15)
        layers[f"fusion_{i}"] = _layer(weight, bias, slice(0), scale)
    return layers, FusionUnits(
        weights["fusion.proprio_mean"], weights["fusion.proprio_std"], np.array(units[0])
    )


def input_rows(weights: Weights) -> tuple[Doubles, Doubles]:
    """The part (D, Z + A) of dynamics.input that is in integers, in units of latent and action.

    Also how far bias and conditioning can move each sum, (D,).
    """
    latent = weights["fusion.2.weight"].shape[0]
    conditioning = weights["cost.gain.weight"].shape[1]
    full = weights["dynamics.input.weight"].astype(np.float64)
    effective = full[:, :-conditioning].copy()
    effective[:, :latent] *= LATENT_UNIT
    effective[:, latent:] *= ACTION_UNIT
    told = np.abs(full[:, -conditioning:]).sum(axis=1)
    return effective, np.abs(weights["dynamics.input.bias"]) + told


def _quantise_input(
    weights: Weights, seen: Activations, hidden_unit: Doubles, ranges: Ranges
) -> tuple[dict[str, Layer], Doubles]:
    effective, bias_range = input_rows(weights)
    inputs = np.hstack([seen.latents / LATENT_UNIT, seen.actions / ACTION_UNIT])
    unit = row_units(effective, bias_range, SUM_LIMIT)
    weight, bias = _rounded(effective, np.zeros(len(unit)), unit, inputs, ranges.feedback)
    layer = _layer(weight, bias, slice(None), requantisation(unit / hidden_unit, 11))
    return {"input": layer}, unit


def gate_rows(weights: Weights, x_unit: Doubles) -> dict[str, tuple[Doubles, Doubles]]:
    """Weights (Z, K) in units of their inputs and bias (Z,) of each sum of the GRU.

    Gates r and u have one sum over [x, z]; n has one over x and one over z, for r * (U z).
    """
    wr, wu, wn = np.split(weights["dynamics.gru_input.weight"].astype(np.float64) * x_unit, 3)
    hr, hu, hn = np.split(weights["dynamics.gru_hidden.weight"].astype(np.float64) * LATENT_UNIT, 3)
    br, bu, bn = np.split(weights["dynamics.gru_input.bias"].astype(np.float64), 3)
    cr, cu, cn = np.split(weights["dynamics.gru_hidden.bias"].astype(np.float64), 3)
    return {
        "reset": (np.hstack([wr, hr]), br + cr),
        "update": (np.hstack([wu, hu]), bu + cu),
        "candidate_input": (wn, bn),
        "candidate_hidden": (hn, cn),
    }


def gate_inputs(seen: Activations, x_unit: Doubles) -> dict[str, Floats]:
    """What each sum of the GRU takes in, (N, K) in units of the integers."""
    x, z = np.minimum(seen.hidden / x_unit, 255), seen.latents / LATENT_UNIT
    both = np.hstack([x, z])
    return {"reset": both, "update": both, "candidate_input": x, "candidate_hidden": z}


def _quantise_gru(
    weights: Weights, seen: Activations, x_unit: Doubles, ranges: Ranges
) -> dict[str, Layer]:
    width = len(x_unit)
    offset_columns = {
        "reset": slice(width, None),
        "update": slice(width, None),
        "candidate_input": slice(0),
        "candidate_hidden": slice(None),
    }
    inputs, layers = gate_inputs(seen, x_unit), {}
    for name, (effective, bias) in gate_rows(weights, x_unit).items():
        unit = gate_units(effective, bias, inputs[name], ranges)
        weight, bias = _rounded(effective, bias, unit, inputs[name], ranges.feedback)
        scale = requantisation(unit / GATE_UNIT, 15)
        layers[name] = _layer(weight, bias, offset_columns[name], scale)
    return layers


def head_units(
    weights: Weights, head: str, hidden: Floats, ranges: Ranges
) -> tuple[Doubles, Doubles, float]:
    """A head's first weights in units of the latent (H, Z), their sums' units, the hidden one."""
    effective = weights[f"{head}.input.weight"].astype(np.float64) * LATENT_UNIT
    unit = row_units(effective, np.zeros(len(effective)), SUM_LIMIT)
    largest = getattr(ranges, head, 1.0) * ranges.high(hidden)  # the prior's is not searched for
    return effective, unit, max(largest / 255, HEAD_FRACTION * float(unit.max()))  # multipliers <=1


def _quantise_head(
    weights: Weights, head: str, seen: Activations, ranges: Ranges
) -> tuple[dict[str, Layer], Units, Doubles]:
    """Two layers, their units for FiLM, and the unit (out,) of the output layer's sums."""
    hidden = seen.heads[head]
    effective, unit, hidden_unit = head_units(weights, head, hidden, ranges)
    nothing, feedback = np.zeros(len(unit)), ranges.feedback
    weight, bias = _rounded(effective, nothing, unit, seen.latents / LATENT_UNIT, feedback)
    fine = hidden_unit / HEAD_FRACTION
    never_saturates = np.ceil(np.log2(np.abs(weight).sum(axis=1) * 128.0 / 32767 + 1e-9))
    multiplier_fits = np.floor(-np.log2(unit / fine))
    shift = np.clip(np.minimum(never_saturates, multiplier_fits), 0, 24).astype(np.int32)
    gain_unit = np.minimum(unit / fine * 2.0 ** (15 + shift), 32767.0)
    inputs = _layer(weight, bias, slice(None), (np.zeros_like(shift, np.int16), shift))
    out_bias = weights[f"{head}.output.bias"].astype(np.float64)
    out_effective = weights[f"{head}.output.weight"].astype(np.float64) * hidden_unit
    out_unit = row_units(out_effective, np.abs(out_bias), SUM_LIMIT)
    taken = np.minimum(hidden / hidden_unit, 255)
    out_weight, out_bias = _rounded(out_effective, out_bias, out_unit, taken, feedback)
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
