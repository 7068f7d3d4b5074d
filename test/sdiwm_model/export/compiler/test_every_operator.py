"""ONNX networks of every operator: imported exactly, and the same integers in C++ as in numpy."""

import numpy as np
import pytest
from onnx import TensorProto

from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.float_reference import evaluate
from sdiwm_model.export.compiler.layout import arrange
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.patches import possible_lengths, stage
from sdiwm_model.export.compiler.rewrite import simplify
from sdiwm_model.runtime.session import open_session


def picture_network(n):
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


def pooling_network(n):
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
    first, second = n.add("Split", x, n.constant(np.array([10, 8])), outputs=2, axis=1)
    second = n.convolution(second, 8, 10, kernel=3, group=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    x = n.add("Sub", first, second)
    x = n.add("Mul", n.add("LeakyRelu", x), n.add("Sigmoid", x))
    x = n.convolution(x, 10, 4, kernel=2)
    return [x, n.dense(n.add("Flatten", x), 5 * 5 * 4, 7)]


def vector_network(n):
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


def gru_network(n, after, length):
    x, h = n.input("x", [length, 1, 5]), n.input("h", [1, 1, 8])
    weights = n.random(1, 24, 5, scale=0.5), n.random(1, 24, 8, scale=0.4), n.random(1, 48)
    y, last = n.add("GRU", x, *weights, "", h, outputs=2, hidden_size=8, linear_before_reset=after)
    return [n.add("Reshape", y, n.constant(np.array([1, 8 * length]))), last]


NETWORKS = {
    "picture": picture_network,
    "pooling": pooling_network,
    "vector": vector_network,
    "gru_reset_after": lambda n: gru_network(n, 1, 1),
    "gru_reset_before": lambda n: gru_network(n, 0, 3),
}


@pytest.fixture(params=NETWORKS)
def path(request, network, tmp_path):
    made = network(0)
    return made.save(tmp_path / "random.onnx", *NETWORKS[request.param](made))


def run_onnx(path, graph, examples, index):
    feeds = {}
    session = open_session(path)
    for entry in session.get_inputs():
        x = examples[entry.name][index]
        if len(entry.shape) == 4 and tuple(entry.shape[1:]) != x.shape:  # (C, H, W)
            x = x.transpose(2, 0, 1)
        kind = np.uint8 if "uint8" in entry.type else np.float32
        feeds[entry.name] = x.reshape(entry.shape).astype(kind)
    found = session.run(None, feeds)
    return [y[0].transpose(1, 2, 0) if y.ndim == 4 else y for y in found]


def test_the_imported_graph_computes_what_onnx_runtime_does(path, examples_of):
    for simplified in (False, True):
        graph = import_onnx(path)
        if simplified:
            simplify(graph)
        examples = examples_of(graph, 3)
        for index in range(3):
            values = evaluate(graph, {name: x[index] for name, x in examples.items()})
            expected = run_onnx(path, graph, examples, index)
            for name, y in zip(graph.outputs, expected, strict=True):
                np.testing.assert_allclose(values[name].ravel(), y.ravel(), atol=2e-5)


def test_the_integers_are_close_to_the_reals(path, compiled, examples_of):
    graph, program = compiled(path, examples=30)
    examples = examples_of(graph, 30)
    for name in program.outputs:
        errors, values = [], []
        for index in range(30):
            reals = {k: x[index] for k, x in examples.items()}
            given = {
                k: x if program.tensors[k].dtype == "uint8"
                else np.clip(np.rint(x / program.tensors[k].scale + program.tensors[k].zero),
                             -32768 if program.tensors[k].dtype == "int16" else -128, 32767)
                for k, x in reals.items()
            }  # fmt: skip
            y, tensor = integers.run(program, given)[name], program.tensors[name]
            expected = evaluate(graph, reals)[name]
            errors.append((y - tensor.zero) * tensor.scale - expected)
            values.append(expected)
        assert np.std(errors) < 0.05 * np.std(values)


def test_the_compiled_network_equals_the_integer_reference(path, compiled, same_integers):
    _, program = compiled(path)
    assert same_integers(arrange(program, None), 40) == 40


def test_patch_by_patch_gives_the_same_integers(path, compiled, same_integers):
    _, program = compiled(path)
    for length in possible_lengths(program)[-1:]:
        for strips in (1, 3):
            assert same_integers(arrange(program, stage(program, length, strips)), 20) == 20
