"""Random ONNX networks of every supported operator, and what compiling one takes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.calibrate import calibrate
from sdiwm_model.export.compiler.host import HostNetwork
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.quantise import quantise
from sdiwm_model.export.compiler.rewrite import simplify

LIMITS = {"uint8": (0, 256), "int8": (-128, 128), "int16": (-32768, 32768)}


class Network:
    """An ONNX graph in the making; methods add nodes and return the name of the result."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes, self.inputs, self.constants = [], [], []

    def input(self, name, shape, kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape, scale=1.0):
        return self.constant((scale * self.rng.standard_normal(shape)).astype(np.float32))

    def add(self, operator, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def convolution(self, x, inward, outward, kernel=3, group=1, **attributes):
        depth = kernel * kernel * inward // group
        weight = self.random(outward, inward // group, kernel, kernel, scale=depth**-0.5)
        bias = self.random(outward, scale=0.3)
        return self.add("Conv", x, weight, bias, group=group, **attributes)

    def dense(self, x, inward, outward):
        weight = self.random(inward, outward, scale=inward**-0.5)
        return self.add("Gemm", x, weight, self.random(outward, scale=0.3))

    def save(self, path, *outputs):
        values = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "random", self.inputs, values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 10
        model = onnx.shape_inference.infer_shapes(model)
        onnx.save(model, path)
        return path


@pytest.fixture
def network(tmp_path):
    """network(seed) -> an empty Network."""
    return lambda seed=0: Network(np.random.default_rng(seed))


def _examples_of(graph, count, seed=0):
    """Inputs that a camera or joints could give, (count, ...) each."""
    rng = np.random.default_rng(seed)
    return {
        entry.name: rng.integers(0, 256, (count, *graph.shapes[entry.name])).astype(np.uint8)
        if entry.is_bytes
        else rng.uniform(-1, 1, (count, *graph.shapes[entry.name]))
        for entry in graph.inputs
    }


@pytest.fixture
def examples_of():
    return _examples_of


def random_integers(program, rng):
    """Any integers of the inputs' types."""
    tensors = (program.tensors[name] for name in program.inputs)
    return {t.name: rng.integers(*LIMITS[t.dtype], t.shape) for t in tensors}


def compile_network(path, examples=6):
    graph = import_onnx(path)
    simplify(graph)
    return graph, quantise(graph, calibrate(graph, _examples_of(graph, examples)))


@pytest.fixture
def compiled():
    """compiled(path) -> graph, program."""
    return compile_network


@pytest.fixture
def same_integers():
    """Run a layout's C++ and the integer reference on random integers; returns how many runs."""

    def compare(layout, runs=20, seed=1):
        rng = np.random.default_rng(seed)
        engine = HostNetwork(layout, ("-O1",))
        for _ in range(runs):
            given = random_integers(layout.program, rng)
            expected, got = integers.run(layout.program, given), engine(given)
            for name in layout.program.outputs:
                offset = 128 if layout.program.tensors[name].dtype == "uint8" else 0
                np.testing.assert_array_equal(got[name], expected[name] + offset, name)
        return runs

    return compare
