"""Small random ONNX networks that together have every operator of the compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper


class Network:
    """An ONNX graph in the making; methods add nodes and return the name of the result."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []

    def input(self, name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array: ArrayLike) -> str:
        """Declare numbers that are known."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        """Declare normally distributed numbers."""
        return self.constant((scale * self.rng.standard_normal(shape)).astype(np.float32))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.add_all(operator, *inputs, outputs=1, **attributes)[0]

    def add_all(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with some outputs."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names

    def convolution(
        self, x: str, inward: int, outward: int, kernel: int = 3, group: int = 1, **attributes: Any
    ) -> str:
        """Add a convolution with random weights."""
        depth = kernel * kernel * inward // group
        weight = self.random(outward, inward // group, kernel, kernel, scale=depth**-0.5)
        bias = self.random(outward, scale=0.3)
        return self.add("Conv", x, weight, bias, group=group, **attributes)

    def dense(self, x: str, inward: int, outward: int) -> str:
        """Add a fully connected layer with random weights."""
        weight = self.random(inward, outward, scale=inward**-0.5)
        return self.add("Gemm", x, weight, self.random(outward, scale=0.3))

    def save(self, path: Path, *outputs: str) -> Path:
        """Write the file; returns its path."""
        values = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "random", self.inputs, values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 10
        model = onnx.shape_inference.infer_shapes(model)
        onnx.save(model, path)
        return path


def picture_network(n: Network) -> list[str]:
    """Convolutions of all kinds, residual, pooling, squeeze-and-excite, keypoints."""
    x = n.input("image", [1, 13, 17, 3], TensorProto.UINT8)
    x = n.add("Transpose", x, perm=[0, 3, 1, 2])
    x = n.add("Cast", x, to=TensorProto.FLOAT)
    x = n.add("Div", x, n.constant(np.float32(127.5)))
    x = n.add("Sub", x, n.constant(np.float32(1.0)))
    x = n.add("HardSwish", n.convolution(x, 3, 8, strides=[2, 2], pads=[1, 1, 1, 1]))
    y = n.add("Relu", n.convolution(x, 8, 20, kernel=1))
    y = n.convolution(y, 20, 20, kernel=5, group=20, pads=[2, 2, 2, 2])
    mean = n.add("GlobalAveragePool", y)
    scale = n.add("Relu", n.convolution(mean, 20, 5, kernel=1))
    scale = n.add("HardSigmoid", n.convolution(scale, 5, 20, kernel=1), alpha=1 / 6, beta=0.5)
    y = n.add("Mul", y, scale)
    x = n.add("Add", x, n.convolution(y, 20, 8, kernel=1))
    maps = n.convolution(x, 8, 6, kernel=1)
    flat = n.add("Reshape", maps, n.constant(np.array([1, 6, 63])))
    grid = n.constant(n.rng.uniform(-1, 1, (63, 2)).astype(np.float32))
    points = n.add("MatMul", n.add("Softmax", flat, axis=-1), grid)
    return [n.add("Reshape", points, n.constant(np.array([1, 12])))]


def convolution_network(n: Network) -> list[str]:
    """Convolutions whose windows share columns, of every length; odd channels, bounds, borders."""
    x = n.input("image", [1, 7, 11, 4], TensorProto.UINT8)
    x = n.add("Cast", n.add("Transpose", x, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = n.add("Div", x, n.constant(np.float32(64.0)))
    x = n.convolution(x, 4, 12, kernel=3, pads=[1, 1, 1, 1])  # three vectors, 36 numbers
    x = n.add("Relu", n.convolution(x, 12, 8, kernel=2, pads=[0, 1, 1, 0]))  # three, all full
    wide = n.convolution(x, 8, 5, kernel=5, strides=[2, 1], pads=[2, 2, 2, 2])  # thirteen
    x = n.convolution(x, 8, 16, kernel=3, strides=[2, 2], pads=[1, 1, 1, 1])  # five
    low, high = n.constant(np.float32(-0.5)), n.constant(np.float32(0.7))
    x = n.add("Clip", x, low, high)
    x = n.convolution(x, 16, 4, kernel=2)  # four
    return [wide, n.dense(n.add("Flatten", x), 60, 9)]


def pooling_network(n: Network) -> list[str]:
    """Pools, concatenation, split, padding of all kinds, batch normalisation, flattening."""
    x = n.input("image", [1, 4, 12, 11])
    a = n.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    b = n.add("AveragePool", x, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    c = n.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1,
              pads=[0, 0, 0, 1])  # fmt: skip
    d = n.convolution(x, 4, 6, kernel=3, strides=[2, 2], auto_pad="SAME_UPPER")
    ones = [n.constant(v.astype(np.float32)) for v in (
        n.rng.uniform(0.5, 2, 6), n.rng.standard_normal(6), n.rng.standard_normal(6),
        n.rng.uniform(0.5, 2, 6))]  # fmt: skip
    d = n.add("Clip", n.add("BatchNormalization", d, *ones), "", n.constant(np.float32(2.5)))
    x = n.add("Concat", a, b, c, d, axis=1)
    first, second = n.add_all("Split", x, n.constant(np.array([10, 8])), outputs=2, axis=1)
    second = n.convolution(second, 8, 10, kernel=3, group=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    x = n.add("Sub", first, second)
    x = n.add("Mul", n.add("LeakyRelu", x), n.add("Sigmoid", x))
    x = n.convolution(x, 10, 4, kernel=2)
    return [x, n.dense(n.add("Flatten", x), 5 * 5 * 4, 7)]


def vector_network(n: Network) -> list[str]:
    """A recurrent cell by hand, constants on either side, concatenation and a mean."""
    x, h = n.input("x", [1, 10]), n.input("h", [1, 16])
    both = n.add("Concat", x, h, n.random(1, 3), axis=-1)
    update = n.add("Sigmoid", n.dense(both, 29, 16))
    candidate = n.add("Tanh", n.dense(both, 29, 16))
    one = n.constant(np.float32(1.0))
    kept = n.add("Mul", update, h)
    new = n.add("Mul", n.add("Sub", one, update), candidate)
    state = n.add("Add", kept, new)
    shifted = n.add("Mul", n.add("Add", n.add("HardSwish", state), n.random(16)), n.random(1, 16))
    mean = n.add("ReduceMean", shifted, n.constant(np.array([1])))
    return [state, mean]


def gru_network(n: Network, after: int, length: int) -> list[str]:
    """A GRU that is reset after or before its product, over some steps."""
    x, h = n.input("x", [length, 1, 5]), n.input("h", [1, 1, 8])
    weights = n.random(1, 24, 5, scale=0.5), n.random(1, 24, 8, scale=0.4), n.random(1, 48)
    y, last = n.add_all(
        "GRU", x, *weights, "", h, outputs=2, hidden_size=8, linear_before_reset=after
    )
    return [n.add("Reshape", y, n.constant(np.array([1, 8 * length]))), last]


NETWORKS: dict[str, Callable[[Network], list[str]]] = {
    "picture": picture_network,
    "convolution": convolution_network,
    "pooling": pooling_network,
    "vector": vector_network,
    "gru_reset_after": lambda n: gru_network(n, 1, 1),
    "gru_reset_before": lambda n: gru_network(n, 0, 3),
}
