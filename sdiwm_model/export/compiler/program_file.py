"""A quantised network as one file: its operators as JSON, its arrays as safetensors beside them."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.graph import Window
from sdiwm_model.export.compiler.operators import Operator, Program, Tensor
from sdiwm_model.files import atomic_path, check_format_version

FORMAT = "sdiwm-network"
FORMAT_VERSION = 1
OPERATORS: tuple[type[Operator], ...] = (
    op.Convolution, op.Depthwise, op.Add, op.Multiply, op.Rescale, op.MaxPool, op.AveragePool,
    op.GlobalAverage, op.Lookup, op.SpatialSoftmax,
)  # fmt: skip
KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (*OPERATORS, Tensor, Window, op.Rescaling)
}
Arrays = dict[str, NDArray[Any]]


def save_program(program: Program, path: Path) -> None:
    """Write a network, atomically."""
    from safetensors.numpy import save

    arrays: Arrays = {}
    content = {
        "name": program.name,
        "tensors": [_plain(t, arrays) for t in program.tensors.values()],
        "operators": [_plain(operator, arrays) for operator in program.operators],
        "inputs": program.inputs,
        "outputs": program.outputs,
        "output_names": program.output_names,
    }
    metadata = {
        "format": FORMAT, "format_version": str(FORMAT_VERSION), "program": json.dumps(content),
    }  # fmt: skip
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))


def load_program(path: Path, remedy: str) -> Program:
    """Read what `save_program` wrote; `remedy` ends the sentence of every error.

    Raises:
        SdiwmError: missing, damaged, or of another format or version.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SdiwmError(f"{path} is missing; {remedy}")
    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SdiwmError(f"{path} is truncated or damaged ({error}); {remedy}") from None
    if metadata.get("format") != FORMAT:
        raise SdiwmError(f"{path} is no network of integers, whose format is {FORMAT}; {remedy}")
    check_format_version(path, metadata.get("format_version"), str(FORMAT_VERSION), remedy)
    try:
        return _program(json.loads(metadata["program"]), arrays)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SdiwmError(f"{path} holds no whole network ({error!r}); {remedy}") from None


def _program(content: dict[str, Any], arrays: Arrays) -> Program:
    tensors = [_value(entry, arrays) for entry in content["tensors"]]
    return Program(
        content["name"],
        {tensor.name: tensor for tensor in tensors},
        [_value(entry, arrays) for entry in content["operators"]],
        list(content["inputs"]),
        list(content["outputs"]),
        list(content["output_names"]),
    )


def _plain(value: Any, arrays: Arrays) -> Any:
    """What JSON can hold; arrays are added to `arrays` and named by their number."""
    if is_dataclass(value):
        kept = {f.name: _plain(getattr(value, f.name), arrays) for f in fields(value)}
        return {"kind": type(value).__name__} | kept
    if isinstance(value, np.ndarray):
        arrays[str(len(arrays))] = np.ascontiguousarray(value)
        return {"array": str(len(arrays) - 1)}
    if isinstance(value, tuple):
        return [_plain(each, arrays) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _value(plain: Any, arrays: Arrays) -> Any:
    """The inverse of `_plain`."""
    if isinstance(plain, list):
        return tuple(_value(each, arrays) for each in plain)
    if not isinstance(plain, dict):
        return plain
    if "array" in plain:
        return arrays[plain["array"]]
    kept = {name: _value(each, arrays) for name, each in plain.items() if name != "kind"}
    return KINDS[plain["kind"]](**kept)
