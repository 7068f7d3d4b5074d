"""The graph under construction: which value of it stands behind each value of an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sdiwm_model.export.compiler.graph import Floats, Graph, Input, Node, Shape
from sdiwm_model.export.compiler.onnx_graph import OnnxGraph, attributes

# How the numbers of an ONNX value lie in the compiler's (height, width, channels).
ROW = "ROW"  # a vector: any ONNX shape, in order
NCHW = "NCHW"
NHWC = "NHWC"
NCP = "NCP"  # (1, channels, height * width)
FLAT_CHW = "FLAT_CHW"  # all in one row, channel after channel
FLAT_HWC = "FLAT_HWC"  # all in one row, place after place
ATTENTION = "ATTENTION"  # softmax of NCP, waiting for its grid
PASSING = ("Cast", "Div", "Sub", "Mul", "Add", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Reference:
    """The compiler's value behind an ONNX value, and how its numbers lie."""

    value: str
    layout: str


class Builder:
    """Adds nodes to `graph`, and answers what is known about the values of `onnx`."""

    def __init__(self, onnx_graph: OnnxGraph) -> None:
        self.onnx = onnx_graph
        self.graph = Graph(onnx_graph.path.stem)
        self.references: dict[str, Reference] = {}

    def add_input(self, entry: onnx.ValueInfoProto) -> None:
        kind = entry.type.tensor_type.elem_type
        shape = self.onnx.shapes.get(entry.name, ())
        stub = onnx.NodeProto(name=entry.name, op_type="Input", output=[entry.name])
        if kind not in (onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT):
            self.onnx.refuse(stub, "give it the type uint8 or float32")
        if len(shape) == 4 and int(np.prod(shape[:1])) == 1:
            last = self._is_channels_last(entry.name)
            _, *rest = shape
            height, width, channels = rest if last else (rest[1], rest[2], rest[0])
            self.note(entry.name, NHWC if last else NCHW, (height, width, channels))
        else:
            self.note(entry.name, ROW, (1, 1, int(np.prod(shape))))
        self.graph.inputs.append(Input(entry.name, kind == onnx.TensorProto.UINT8))

    def _is_channels_last(self, value: str) -> bool:
        """Whether a four-dimensional input is (1, H, W, C): it is transposed before its use."""
        for node in self.onnx.readers(value):
            given = attributes(node)
            if node.op_type == "Transpose":
                return given.get("perm") == [0, 3, 1, 2]
            if node.op_type == "Split" and given.get("axis", 0) in (3, -1):
                return True
            if node.op_type in PASSING:
                return self._is_channels_last(node.output[0])
        return False

    def note(self, name: str, layout: str, shape: Shape) -> str:
        self.references[name] = Reference(name, layout)
        self.graph.shapes[name] = shape
        return name

    def new(self, node: onnx.NodeProto, layout: str, shape: Shape) -> str:
        """Declare the first output of `node`."""
        return self.note(node.output[0], layout, shape)

    def add(self, node: Node) -> None:
        self.graph.nodes.append(node)

    def read(self, node: onnx.NodeProto, name: str) -> Reference:
        if name in self.constants:
            self.onnx.refuse(node, f"its input '{name}' may not be a constant")
        read = self.references[name]
        if read.layout == ATTENTION:
            self.onnx.refuse(node, "a softmax can only be followed by MatMul with a constant grid")
        return read

    def read_map(self, node: onnx.NodeProto, name: str) -> str:
        read = self.read(node, name)
        vector = self.graph.shapes[read.value][:2] == (1, 1)
        if read.layout != NCHW and not (vector and len(self.onnx.shape(name, node)) == 4):
            self.onnx.refuse(node, "takes a picture (1, C, H, W)")
        return read.value

    @property
    def constants(self) -> dict[str, NDArray[Any]]:
        return self.onnx.constants

    def constants_after_first(self, node: onnx.NodeProto) -> list[NDArray[Any] | None]:
        """The inputs of `node` after the first, None for those not given or not constant."""
        return [self.constants.get(name) for name in node.input[1:]]

    def constant(self, node: onnx.NodeProto, index: int) -> Floats:
        name = node.input[index]
        if name not in self.constants:
            self.onnx.refuse(node, f"its input '{name}' must be a constant")
        return self.constants[name].astype(np.float64)

    def optional(self, node: onnx.NodeProto, index: int, default: Floats) -> Floats:
        if len(node.input) <= index or not node.input[index]:
            return default
        return self.constant(node, index)

    def alias(self, node: onnx.NodeProto, layout: str | None = None) -> None:
        read = self.read(node, node.input[0])
        self.references[node.output[0]] = Reference(read.value, layout or read.layout)

    def finish(self) -> None:
        for name in self.onnx.outputs:
            if name not in self.references:
                stub = onnx.NodeProto(name=name, op_type="Output", output=[name])
                self.onnx.refuse(stub, "is a constant: nothing is to be computed")
            read = self.references[name]
            if read.layout in (FLAT_CHW, ATTENTION, NCP):
                stub = onnx.NodeProto(name=name, op_type="Output", output=[name])
                self.onnx.refuse(stub, "is a flattened picture: export it as (1, C, H, W)")
            self.graph.outputs.append(read.value)
            self.graph.output_names.append(name)
