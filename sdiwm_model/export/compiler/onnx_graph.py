"""An ONNX file made ready for import: batch 1, every shape known, constants computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from sdiwm_model.errors import SdiwmError

Array = NDArray[Any]
LARGEST_CONSTANT = 1 << 24  # numbers; a broadcast beyond this is no network for a microcontroller


class OnnxGraph:
    """Nodes that depend on an input, and everything else as numbers.

    nodes      in the file's order, those computable beforehand left out
    constants  value name -> array
    shapes     value name -> shape with batch 1
    """

    def __init__(self, path: Path) -> None:
        """Read `path`; SdiwmError where it is no ONNX file or a shape stays unknown."""
        self.path = path
        model = _load(path)
        initialised = {tensor.name for tensor in model.graph.initializer}
        self.inputs = [entry for entry in model.graph.input if entry.name not in initialised]
        self.outputs = [entry.name for entry in model.graph.output]
        _fix_free_dimensions(self.inputs)
        del model.graph.value_info[:]
        for entry in model.graph.output:
            entry.type.tensor_type.ClearField("shape")
        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:
            raise SdiwmError(
                f"{path}: shapes contradict each other ({_first_line(error)}); export it again."
            ) from error
        self.shapes: dict[str, tuple[int, ...]] = {}
        for entry in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
            self._note_shape(entry)
        self.constants = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.nodes = [node for node in model.graph.node if not self._compute(node)]
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def shape(self, value: str, node: onnx.NodeProto) -> tuple[int, ...]:
        """Shape of `value`; SdiwmError naming `node` where it is not known."""
        if value not in self.shapes:
            self.refuse(node, f"the shape of '{value}' is not known before it runs")
        return self.shapes[value]

    def readers(self, value: str) -> list[onnx.NodeProto]:
        """Nodes that read `value`."""
        return self._readers.get(value, [])

    def refuse(self, node: onnx.NodeProto, reason: str) -> NoReturn:
        """Raise SdiwmError that names the node."""
        name = node.name or node.output[0]
        raise SdiwmError(f"{self.path}: node '{name}' ({node.op_type}): {reason}.")

    def _note_shape(self, entry: onnx.ValueInfoProto) -> None:
        dimensions = entry.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dimensions):
            self.shapes[entry.name] = tuple(d.dim_value for d in dimensions)

    def _compute(self, node: onnx.NodeProto) -> bool:
        """Whether all outputs of `node` are known beforehand; they become constants."""
        if node.op_type == "Shape" and node.input[0] in self.shapes:
            feeds = {node.input[0]: np.empty(self.shapes[node.input[0]], np.uint8)}
        elif all(name in self.constants for name in node.input if name):
            feeds = {name: self.constants[name] for name in node.input if name}
        else:
            return False
        if any(int(np.prod(self.shapes.get(o, ()))) > LARGEST_CONSTANT for o in node.output):
            self.refuse(node, "its constant result is too large")
        try:
            results = ReferenceEvaluator(node).run(None, feeds)
        except Exception as error:
            self.refuse(node, f"cannot be computed beforehand ({_first_line(error)})")
        for name, result in zip(node.output, results, strict=True):
            self.constants[name] = np.asarray(result)
            self.shapes[name] = self.constants[name].shape
        return True


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes of `node` by name, strings as str."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise SdiwmError(f"{path} is missing; name an ONNX file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:
        raise SdiwmError(f"{path} is not a valid ONNX file ({_first_line(error)})") from error
    return model


def _fix_free_dimensions(inputs: list[onnx.ValueInfoProto]) -> None:
    """What may vary (batch, candidates) becomes 1."""
    for entry in inputs:
        for dimension in entry.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value") or dimension.dim_value <= 0:
                dimension.dim_value = 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
