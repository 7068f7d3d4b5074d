"""A model in integers: its layers, its units, its file, and the goal that a sentence becomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path, check_format_version

FORMAT = "sdiwm-engine"
FORMAT_VERSION = 1
REMEDY = "export the model again with `sdiwm export`"
HEAD_FRACTION = 16  # the heads' sums carry 1/16 of the unit of their 8-bit hidden layer
LAYERS = (
    "fusion_0",
    "fusion_1",
    "fusion_2",
    "input",
    "reset",
    "update",
    "candidate_input",
    "candidate_hidden",
    "cost_input",
    "cost_output",
    "value_input",
    "value_output",
)
PRIOR_LAYERS = ("prior_input", "prior_output")  # only where the model has a policy prior


@dataclass(frozen=True)
class Layer:
    """One fully connected layer in integers.

    weight      int8 (out, in)
    bias        int32 (out,), with zero points and the rounding of the shift folded in
    shift       int32 (out,), arithmetic right shift of the sum
    multiplier  int16 (out,), Q15, never negative
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.int32]
    multiplier: NDArray[np.int16]


@dataclass(frozen=True)
class GoalUnits:
    """Floats that turn a conditioning c into a `Goal`, on the host, once per instruction.

    input_weight, input_bias   (X, C), (X,): the part of dynamics.input that sees c
    input_unit                 (X,): what 1 in the input layer's sum is worth
    *_gain_*, *_shift_*        (D, C), (D,): FiLM of the two heads
    *_gain_unit                (D,): multiplier at gain 1
    *_shift_unit               (): what 1 in a head's shift is worth
    *_unit                     (): what 1 in a head's output is worth, in units of cost
    """

    input_weight: NDArray[np.float32]
    input_bias: NDArray[np.float32]
    input_unit: NDArray[np.float64]
    cost_gain_weight: NDArray[np.float32]
    cost_gain_bias: NDArray[np.float32]
    cost_gain_unit: NDArray[np.float64]
    cost_shift_weight: NDArray[np.float32]
    cost_shift_bias: NDArray[np.float32]
    cost_shift_unit: NDArray[np.float64]
    cost_unit: NDArray[np.float64]
    value_gain_weight: NDArray[np.float32]
    value_gain_bias: NDArray[np.float32]
    value_gain_unit: NDArray[np.float64]
    value_shift_weight: NDArray[np.float32]
    value_shift_bias: NDArray[np.float32]
    value_shift_unit: NDArray[np.float64]
    value_unit: NDArray[np.float64]


@dataclass(frozen=True)
class FusionUnits:
    """Floats that turn features and proprioception into the fusion network's int16 inputs.

    proprio_mean, proprio_std  (P,)
    input_unit                 (): what 1 is worth in a normalised input
    """

    proprio_mean: NDArray[np.float32]
    proprio_std: NDArray[np.float32]
    input_unit: NDArray[np.float64]


@dataclass(frozen=True)
class PriorUnits:
    """Floats that turn a conditioning c into the prior's part of a `Goal`; see `GoalUnits`."""

    gain_weight: NDArray[np.float32]
    gain_bias: NDArray[np.float32]
    gain_unit: NDArray[np.float64]
    shift_weight: NDArray[np.float32]
    shift_bias: NDArray[np.float32]
    shift_unit: NDArray[np.float64]


@dataclass(frozen=True)
class QuantisedModel:
    """Everything the engine needs.

    `layers` has the keys of `LAYERS`, and those of `PRIOR_LAYERS` where there is a policy prior.
    """

    layers: dict[str, Layer]
    goal: GoalUnits
    fusion: FusionUnits
    prior: PriorUnits | None = None

    @property
    def latent(self) -> int:
        """Width of z."""
        return self.layers["fusion_2"].weight.shape[0]

    @property
    def action(self) -> int:
        """Width of an action."""
        return self.layers["input"].weight.shape[1] - self.latent

    @property
    def conditioning(self) -> int:
        """Width of c."""
        return self.goal.input_weight.shape[1]

    @property
    def features(self) -> int:
        """Width of the image feature."""
        return self.layers["fusion_0"].weight.shape[1] - self.proprio

    @property
    def proprio(self) -> int:
        """Width of the joint state."""
        return self.fusion.proprio_mean.shape[0]

    @property
    def plan_horizon(self) -> int:
        """Model steps of the prior's action sequence; 0 without a prior."""
        return len(self.layers["prior_output"].weight) // self.action if self.prior else 0

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of one model step and its cost."""
        stepped = [name for name in LAYERS if not name.startswith(("fusion", "value"))]
        return sum(self.layers[name].weight.size for name in stepped)

    @property
    def macs_of_value(self) -> int:
        """Multiply-accumulates of the value head."""
        return sum(self.layers[f"value_{part}"].weight.size for part in ("input", "output"))


@dataclass(frozen=True)
class Goal:
    """An instruction in integers; fixed size, so that it can be sent to a microcontroller.

    input_bias     int32 (X,): bias of the dynamics' input layer
    cost_gain,     int16 (D,): multiplier and shift of each hidden unit of the cost head
    cost_shift
    value_gain, value_shift  the same for the value head
    prior_gain, prior_shift  the same for the prior; empty without one
    """

    input_bias: NDArray[np.int32]
    cost_gain: NDArray[np.int16]
    cost_shift: NDArray[np.int16]
    value_gain: NDArray[np.int16]
    value_shift: NDArray[np.int16]
    prior_gain: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    prior_shift: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))

    def to_bytes(self) -> bytes:
        """The engine's `Goal` structure, little-endian, without padding."""
        return b"".join(
            getattr(self, f.name).astype(getattr(self, f.name).dtype.newbyteorder("<")).tobytes()
            for f in fields(self)
        )


def make_goal(q: QuantisedModel, c: ArrayLike) -> Goal:
    """c (C,) in [-1, 1] -> the integers by which it enters the model.

    Raises:
        SdiwmError: wrong shape, or a value that is not finite.
    """
    c = np.asarray(c, np.float32)
    if c.shape != (q.conditioning,) or not np.isfinite(c).all():
        raise SdiwmError(
            f"The conditioning has shape {c.shape}; this model takes {q.conditioning} finite "
            "numbers: use the vector of this bundle's own `condition`."
        )
    units = q.goal
    bias = units.input_weight.astype(np.float64) @ c + units.input_bias
    return Goal(
        (np.rint(bias / units.input_unit) + q.layers["input"].bias).astype(np.int32),
        *_film(units, "cost_", c),
        *_film(units, "value_", c),
        *(_film(q.prior, "", c) if q.prior else ()),
    )


def _film(
    units: GoalUnits | PriorUnits, head: str, c: NDArray[np.float32]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    def affine(part: str) -> NDArray[np.float64]:
        weight = getattr(units, f"{head}{part}_weight").astype(np.float64)
        result: NDArray[np.float64] = weight @ c + getattr(units, f"{head}{part}_bias")
        return result

    gain = 1.0 / (1.0 + np.exp(-affine("gain"))) * getattr(units, f"{head}gain_unit")
    shift = affine("shift") / getattr(units, f"{head}shift_unit") + HEAD_FRACTION // 2
    return (
        np.clip(np.rint(gain), 0, 32767).astype(np.int16),
        np.clip(np.rint(shift), -32768, 32767).astype(np.int16),
    )


def save_engine(q: QuantisedModel, path: Path) -> None:
    """Write engine.safetensors, atomically."""
    from safetensors.numpy import save

    tensors = {
        f"layer.{name}.{f.name}": np.ascontiguousarray(getattr(layer, f.name))
        for name, layer in q.layers.items()
        for f in fields(layer)
    }
    for group in ("goal", "fusion") + (("prior",) if q.prior else ()):
        units = getattr(q, group)
        tensors |= {f"{group}.{f.name}": np.asarray(getattr(units, f.name)) for f in fields(units)}
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_engine(path: Path) -> QuantisedModel:
    """Read engine.safetensors.

    Raises:
        SdiwmError: missing, truncated, of another format or version, or tensors of wrong shape.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise SdiwmError(f"{path} is missing; {REMEDY}")
    try:
        metadata = _metadata(path)
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise SdiwmError(f"{path} is truncated or damaged ({error}); {REMEDY}") from None
    if metadata.get("format") != FORMAT:
        raise SdiwmError(f"{path} is not an engine file; {REMEDY}")
    check_format_version(path, metadata.get("format_version"), str(FORMAT_VERSION), REMEDY)
    has_prior = any(name.startswith(("prior.", "layer.prior_")) for name in tensors)
    try:
        model = QuantisedModel(
            {
                name: Layer(**{f.name: tensors[f"layer.{name}.{f.name}"] for f in fields(Layer)})
                for name in LAYERS + (PRIOR_LAYERS if has_prior else ())
            },
            GoalUnits(**{f.name: tensors[f"goal.{f.name}"] for f in fields(GoalUnits)}),
            FusionUnits(**{f.name: tensors[f"fusion.{f.name}"] for f in fields(FusionUnits)}),
            PriorUnits(**{f.name: tensors[f"prior.{f.name}"] for f in fields(PriorUnits)})
            if has_prior
            else None,
        )
    except KeyError as error:
        raise SdiwmError(f"{path}: the tensor {error} is missing; {REMEDY}") from None
    _check_layers(model, path)
    return model


def _metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        header = json.loads(stream.read(length))
    found = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return dict(found)


def _check_layers(model: QuantisedModel, path: Path) -> None:
    for name, layer in model.layers.items():
        out = layer.weight.shape[:1]
        shapes = {layer.bias.shape, layer.shift.shape, layer.multiplier.shape}
        types = tuple(getattr(layer, f.name).dtype for f in fields(layer))
        if (
            layer.weight.ndim != 2
            or shapes != {out}
            or types
            != (
                np.int8,
                np.int32,
                np.int32,
                np.int16,
            )
        ):
            raise SdiwmError(f"{path}: layer '{name}' has the wrong shapes or types; {REMEDY}")
