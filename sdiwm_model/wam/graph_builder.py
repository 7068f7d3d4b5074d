"""Writes an ONNX graph node by node. Weights are named, not held: see `weights`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.wam.checkpoint import WEIGHTS

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

OPSET = 20  # the first with GELU as one operator
IR_VERSION = 10  # the first that goes with it
Kind = type[np.float32] | type[np.int64]
Shape = Sequence[int | str]  # a name for a dimension that may vary


class GraphBuilder:
    """One graph; tensors are told by their names in it.

    Args:
        shapes: of the weights, by name.
    """

    def __init__(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._name, self._shapes = name, shapes
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._named: dict[str, str] = {}
        self._constants: dict[tuple[Any, ...], Any] = {}
        self._weights: dict[str, TensorProto] = {}

    def input(self, name: str, shape: Shape, kind: Kind = np.float32) -> str:
        """An input of the graph."""
        self._inputs.append(_value(name, shape, kind))
        return name

    def output(self, name: str, tensor: str, shape: Shape) -> None:
        """Let what a node gave, ``tensor``, of floats, be the output ``name``."""
        self._named[tensor] = name
        self._outputs.append(_value(name, shape, np.float32))

    def weight(self, name: str) -> str:
        """A tensor of the model."""
        if name not in self._weights:
            self._weights[name] = name_weight(name, self._shapes[name], np.dtype(np.float32))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """A tensor that the graph itself holds."""
        from onnx import numpy_helper

        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(value, name)
        return str(self._constants[key].name)

    def floats(self, *values: float) -> str:
        """A constant vector of floats."""
        return self.constant(np.array(values, np.float32))

    def integers(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.constant(np.array(values, np.int64))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operator of one output."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def nodes(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """An operator of several outputs."""
        from onnx import helper

        index = len(self._nodes)
        outputs = [f"{kind.lower()}_{index}_{i}" for i in range(count)]
        name = f"{kind}_{index}"
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    def reshape(self, x: str, *shape: int) -> str:
        """0: as it is; -1: what is left."""
        return self.node("Reshape", x, self.integers(*shape))

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Parts of given sizes."""
        return self.nodes("Split", len(sizes), x, self.integers(*sizes), axis=axis)

    def linear(self, x: str, layer: str, bias: bool = True) -> str:
        """Tokens (..., inward) through a `Linear`, by its name."""
        weight = self.node("Transpose", self.weight(f"{layer}.weight"), perm=[1, 0])
        product = self.node("MatMul", x, weight)
        return self.node("Add", product, self.weight(f"{layer}.bias")) if bias else product

    def add(self, first: str, *others: str) -> str:
        """The sum of all."""
        for other in others:
            first = self.node("Add", first, other)
        return first

    def model(self) -> ModelProto:
        """The whole graph."""
        from onnx import helper

        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [self._named.get(name, name) for name in names]
        held = [*self._constants.values(), *self._weights.values()]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, held)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    @property
    def weights(self) -> list[str]:
        """Names of the weights that the graph asks for."""
        return sorted(self._weights)


def name_weight(name: str, shape: Sequence[int], kind: np.dtype[Any]) -> TensorProto:
    """A tensor that a graph names and does not hold."""
    from onnx import TensorProto, helper

    absent = TensorProto(
        name=name,
        dims=shape,
        data_type=helper.np_dtype_to_tensor_dtype(kind),
        data_location=TensorProto.EXTERNAL,
    )
    length = str(kind.itemsize * int(np.prod(shape)))
    # The format asks where it is; the engine hands it over, and no file is read.
    for key, value in (("location", WEIGHTS), ("offset", "0"), ("length", length)):
        entry = absent.external_data.add()
        entry.key, entry.value = key, value
    return absent


def _value(name: str, shape: Shape, kind: Kind) -> Any:
    from onnx import TensorProto, helper

    found = TensorProto.FLOAT if kind is np.float32 else TensorProto.INT64
    return helper.make_tensor_value_info(name, found, list(shape))
