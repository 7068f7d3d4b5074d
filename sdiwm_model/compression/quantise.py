"""Post-training quantisation, calibrated on rollouts of the quantised model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import (
    LATENT_ONE,
    ZERO_POINT,
    actions_to_int8,
    latent_from_q15,
    latent_to_q15,
)
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import (
    HEAD_FRACTION,
    FusionUnits,
    GoalUnits,
    Layer,
    PriorUnits,
    QuantisedModel,
)
from sdiwm_model.errors import SdiwmError

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]
Units = dict[str, Any]  # fields of GoalUnits or PriorUnits

ACTION_UNIT = 1 / 127
LATENT_UNIT = 256 / LATENT_ONE
SUM_LIMIT = 2.0**24  # largest bias in the unit of an 8-bit layer's sum
SUM_LIMIT_16 = 2.0**28  # and of a 16-bit layer's
HEADROOM = 1.5  # of 16-bit activations above the largest value seen
QUANTILE = 0.9999  # of 8-bit activations; what lies above saturates


@dataclass(frozen=True)
class Calibration:
    """What the ranges are measured on.

    latents        (N, Z) latents of real observations, where rollouts begin
    actions        (N, T, A) actions recorded from there on
    conditionings  (M, C) of training instructions
    features       (F, E) and
    proprio        (F, P) inputs of the fusion network
    """

    latents: Floats
    actions: Floats
    conditionings: Floats
    features: Floats
    proprio: Floats


@dataclass(frozen=True)
class _Ranges:
    """Largest activations: of the fusion inputs and hidden layers, of the 8-bit layers.

    `heads` has the hidden layers of "cost", "value" and, where there is one, "prior".
    """

    fusion: tuple[float, float, float]
    input: float
    heads: dict[str, float]


def quantise(weights: Weights, calibration: Calibration, seed: int = 0) -> QuantisedModel:
    """Quantise a float model (names and shapes of a bundle's model.safetensors).

    Ranges come from float rollouts first, then from rollouts of the integer model that those
    ranges gave; half of the rollouts follow recorded actions, half planner-like noise. Of an
    ensemble of cost heads the mean is kept, which is a linear output too.

    Raises:
        SdiwmError: bad calibration.
    """
    _check(calibration)
    weights = {name: np.asarray(w, np.float32) for name, w in weights.items()}
    for part in ("weight", "bias"):
        every = weights[f"cost.output.{part}"]
        weights[f"cost.output.{part}"] = every.mean(axis=0, keepdims=True)
    rng = np.random.default_rng(seed)
    actions = np.concatenate([calibration.actions, _planner_like(calibration.actions, rng)])
    starts = np.concatenate([calibration.latents, calibration.latents])
    goals = calibration.conditionings[
        rng.integers(len(calibration.conditionings), size=len(starts))
    ]
    fusion = _fusion_ranges(weights, calibration)
    visited = _float_rollouts(weights, starts, actions, goals)
    first = _build(weights, _Ranges(fusion, *_step_ranges(weights, visited, actions, goals)))
    visited = _integer_rollouts(first, starts, actions, goals)
    return _build(weights, _Ranges(fusion, *_step_ranges(weights, visited, actions, goals)))


def _check(calibration: Calibration) -> None:
    latents, actions = calibration.latents, calibration.actions
    if latents.ndim != 2 or actions.ndim != 3 or len(latents) != len(actions) or not len(latents):
        raise SdiwmError(
            f"Calibration needs latents (N, Z) and actions (N, T, A) with the same N > 0, not "
            f"{latents.shape} and {actions.shape}."
        )
    for name, array in vars(calibration).items():
        if not len(array) or not np.isfinite(array).all():
            raise SdiwmError(f"Calibration field '{name}' is empty or not finite: check the data.")


def _planner_like(actions: Floats, rng: np.random.Generator) -> Floats:
    """AR(1) noise around constant actions, as MPPI proposes it; same shape as `actions`."""
    n, steps, width = actions.shape
    noise = rng.standard_normal((n, steps, width))
    for t in range(1, steps):
        noise[:, t] = 0.7 * noise[:, t - 1] + np.sqrt(1 - 0.7**2) * noise[:, t]
    centre = rng.uniform(-1, 1, (n, 1, width))
    return np.clip(centre + 0.5 * noise, -1, 1).astype(np.float32)


def _linear(weights: Weights, name: str, x: Floats) -> Floats:
    result: Floats = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return result


def _sigmoid(x: Floats) -> Floats:
    return (0.5 + 0.5 * np.tanh(0.5 * x)).astype(np.float32)


def _input_layer(weights: Weights, z: Floats, a: Floats, c: Floats) -> Floats:
    return np.maximum(_linear(weights, "dynamics.input", np.concatenate([z, a, c], axis=1)), 0)


def float_step(weights: Weights, z: Floats, a: Floats, c: Floats) -> Floats:
    """One float model step: z (N, Z), a (N, A), c (N, C) -> (N, Z)."""
    x = _input_layer(weights, z, a, c)
    xr, xu, xn = np.split(_linear(weights, "dynamics.gru_input", x), 3, axis=1)
    hr, hu, hn = np.split(_linear(weights, "dynamics.gru_hidden", z), 3, axis=1)
    u = _sigmoid(xu + hu)
    n = np.tanh(xn + _sigmoid(xr + hr) * hn)
    return ((1 - u) * n + u * z).astype(np.float32)


def _float_rollouts(weights: Weights, z: Floats, actions: Floats, c: Floats) -> Floats:
    """Latents (T + 1, N, Z), the start included."""
    visited = [z]
    for t in range(actions.shape[1]):
        visited.append(float_step(weights, visited[-1], actions[:, t], c))
    return np.stack(visited)


def _integer_rollouts(q: QuantisedModel, z: Floats, actions: Floats, c: Floats) -> Floats:
    """The same by the integer model, one goal at a time."""
    model = IntegerModel(q)
    visited = np.empty((actions.shape[1] + 1, *z.shape), np.float32)
    distinct, goal_of = np.unique(c, axis=0, return_inverse=True)
    for index, conditioning in enumerate(distinct):
        chosen = goal_of.ravel() == index
        goal = model.goal(conditioning)
        start = latent_to_q15(z[chosen])
        path = model.rollout(goal, start, actions_to_int8(actions[chosen]))
        visited[0, chosen] = z[chosen]
        visited[1:, chosen] = latent_from_q15(path.swapaxes(0, 1))
    return visited


def _high(x: Floats) -> float:
    return max(float(np.quantile(x, QUANTILE)), 1e-3)


def _step_ranges(
    weights: Weights, visited: Floats, actions: Floats, c: Floats
) -> tuple[float, dict[str, float]]:
    """Range of the input layer and of the heads' hidden layers over the visited latents."""
    steps = actions.shape[1]
    x = [_input_layer(weights, visited[t], actions[:, t], c) for t in range(steps)]
    ranges = {}
    for head in ("cost", "value", "prior"):
        if f"{head}.input.weight" not in weights:
            continue
        gain = _sigmoid(_linear(weights, f"{head}.gain", c))
        shift = _linear(weights, f"{head}.shift", c)
        sums = visited @ weights[f"{head}.input.weight"].T
        ranges[head] = _high(np.maximum(gain * sums + shift, 0))
    return _high(np.stack(x)), ranges


def _fusion_ranges(weights: Weights, calibration: Calibration) -> tuple[float, float, float]:
    mean, std = weights["fusion.proprio_mean"], weights["fusion.proprio_std"]
    x = np.concatenate([calibration.features, (calibration.proprio - mean) / std], axis=1)
    first = np.maximum(_linear(weights, "fusion.0", x), 0)
    second = np.maximum(_linear(weights, "fusion.1", first), 0)
    bound = max(1.0, HEADROOM * float(np.abs(x).max()))
    return (
        bound,
        max(HEADROOM * float(first.max()), 1e-3),
        max(HEADROOM * float(second.max()), 1e-3),
    )


def _build(weights: Weights, ranges: _Ranges) -> QuantisedModel:
    layers, fusion = _quantise_fusion(weights, ranges.fusion)
    inputs, input_unit = _quantise_input(weights, ranges.input)
    layers |= inputs | _quantise_gru(weights, ranges.input / 255)
    units: dict[str, Units] = {}
    for head, largest in ranges.heads.items():
        head_layers, units[head], output_unit = _quantise_head(weights, head, largest / 255)
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
    effective: NDArray[np.float64], bias_range: NDArray[np.float64], limit: float
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """int8 weights (M, K) and the unit (M,) of each row's sum.

    `effective` is weight * unit of its input. The unit is never so small that the bias leaves
    `limit`: a row of zeros still has its bias.
    """
    unit = np.maximum(np.abs(effective).max(axis=1) / 127, bias_range / limit)
    unit = np.maximum(unit, 1e-12)
    return np.rint(effective / unit[:, None]).astype(np.int8), unit


def _scale(ratio: NDArray[np.float64], bits: int) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """(multiplier, shift) with multiplier * 2^-(15 + shift) ~ ratio, multiplier below 2^bits."""
    shift = np.clip(np.ceil(bits - 15 - np.log2(ratio)) - 1, 0, 24)
    multiplier = np.clip(np.rint(ratio * 2.0 ** (15 + shift)), 0, 32767)
    return multiplier.astype(np.int16), shift.astype(np.int32)


def _rounding(shift: NDArray[np.int32]) -> NDArray[np.int64]:
    return (1 << shift.astype(np.int64)) >> 1


def _layer(
    weight: NDArray[np.int8],
    bias: NDArray[np.float64],
    offset_columns: slice,
    scale: tuple[NDArray[np.int16], NDArray[np.int32]],
) -> Layer:
    """`bias` is in the unit of the sum; inputs in `offset_columns` carry the zero point 128."""
    multiplier, shift = scale
    offset = ZERO_POINT * weight[:, offset_columns].astype(np.int64).sum(axis=1)
    folded = np.rint(bias).astype(np.int64) - offset + _rounding(shift)
    return Layer(weight, folded.astype(np.int32), shift, multiplier)


def _quantise_fusion(
    weights: Weights, ranges: tuple[float, float, float]
) -> tuple[dict[str, Layer], FusionUnits]:
    layers, input_unit = {}, ranges[0] / 32767
    units = [input_unit, ranges[1] / 32767, ranges[2] / 32767, 2.0**-13]  # the last: Q13 for tanh
    for i in range(3):
        bias = weights[f"fusion.{i}.bias"].astype(np.float64)
        effective = weights[f"fusion.{i}.weight"].astype(np.float64) * units[i]
        weight, unit = _rows(effective, np.abs(bias), SUM_LIMIT_16)
        scale = _scale(unit / units[i + 1], 15)
        layers[f"fusion_{i}"] = _layer(weight, bias / unit, slice(0), scale)
    return layers, FusionUnits(
        weights["fusion.proprio_mean"], weights["fusion.proprio_std"], np.array(input_unit)
    )


def _quantise_input(
    weights: Weights, largest: float
) -> tuple[dict[str, Layer], NDArray[np.float64]]:
    latent = weights["fusion.2.weight"].shape[0]
    conditioning = weights["cost.gain.weight"].shape[1]
    full = weights["dynamics.input.weight"].astype(np.float64)
    action = full.shape[1] - latent - conditioning
    effective = full[:, : latent + action].copy()
    effective[:, :latent] *= LATENT_UNIT
    effective[:, latent:] *= ACTION_UNIT
    bias_range = np.abs(weights["dynamics.input.bias"]) + np.abs(full[:, latent + action :]).sum(1)
    weight, unit = _rows(effective, bias_range, SUM_LIMIT)
    layer = _layer(weight, np.zeros(len(unit)), slice(None), _scale(unit / (largest / 255), 11))
    return {"input": layer}, unit


def _quantise_gru(weights: Weights, x_unit: float) -> dict[str, Layer]:
    """Gates r and u have one sum over [x, z]; n has one over x and one over z, for r * (U z)."""
    wr, wu, wn = np.split(weights["dynamics.gru_input.weight"].astype(np.float64) * x_unit, 3)
    hr, hu, hn = np.split(weights["dynamics.gru_hidden.weight"].astype(np.float64) * LATENT_UNIT, 3)
    br, bu, bn = np.split(weights["dynamics.gru_input.bias"].astype(np.float64), 3)
    cr, cu, cn = np.split(weights["dynamics.gru_hidden.bias"].astype(np.float64), 3)
    width = wr.shape[1]
    rows = {
        "reset": (np.hstack([wr, hr]), br + cr, slice(width, None)),
        "update": (np.hstack([wu, hu]), bu + cu, slice(width, None)),
        "candidate_input": (wn, bn, slice(0)),
        "candidate_hidden": (hn, cn, slice(None)),
    }
    layers = {}
    for name, (effective, bias, offset_columns) in rows.items():
        weight, unit = _rows(effective, np.abs(bias), SUM_LIMIT)
        scale = _scale(unit * 2.0**12, 15)  # Q12 for the gates
        layers[name] = _layer(weight, bias / unit, offset_columns, scale)
    return layers


def _quantise_head(
    weights: Weights, head: str, hidden_unit: float
) -> tuple[dict[str, Layer], Units, NDArray[np.float64]]:
    """Two layers, their units for FiLM, and the unit (out,) of the output layer's sums."""
    weight, unit = _rows(
        weights[f"{head}.input.weight"].astype(np.float64) * LATENT_UNIT, np.zeros(1), SUM_LIMIT
    )
    hidden_unit = max(hidden_unit, HEAD_FRACTION * float(unit.max()))  # multipliers stay <= 1
    fine = hidden_unit / HEAD_FRACTION
    never_saturates = np.ceil(np.log2(np.abs(weight).sum(axis=1) * 128.0 / 32767 + 1e-9))
    multiplier_fits = np.floor(-np.log2(unit / fine))
    shift = np.clip(np.minimum(never_saturates, multiplier_fits), 0, 24).astype(np.int32)
    gain_unit = np.minimum(unit / fine * 2.0 ** (15 + shift), 32767.0)
    inputs = _layer(
        weight, np.zeros(len(unit)), slice(None), (np.zeros_like(shift, np.int16), shift)
    )
    out_bias = weights[f"{head}.output.bias"].astype(np.float64)
    out_effective = weights[f"{head}.output.weight"].astype(np.float64) * hidden_unit
    out_weight, out_unit = _rows(out_effective, np.abs(out_bias), SUM_LIMIT)
    scale = (np.zeros(1, np.int16), np.zeros(1, np.int32))  # a cost is read from the sum itself
    if head == "prior":
        scale = _scale(out_unit * 2.0**12, 15)  # Q12, before tanh
    output = _layer(out_weight, out_bias / out_unit, slice(0), scale)
    units = {
        "gain_weight": weights[f"{head}.gain.weight"],
        "gain_bias": weights[f"{head}.gain.bias"],
        "gain_unit": gain_unit,
        "shift_weight": weights[f"{head}.shift.weight"],
        "shift_bias": weights[f"{head}.shift.bias"],
        "shift_unit": np.array(fine),
    }
    return {f"{head}_input": inputs, f"{head}_output": output}, units, out_unit
