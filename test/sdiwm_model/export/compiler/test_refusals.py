"""What cannot be compiled is refused in one sentence that names it."""

import numpy as np
import pytest
from onnx import TensorProto

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.calibrate import Ranges, calibrate
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.quantise import quantise


def unsupported_operator(n):
    return n.add("Cos", n.input("x", [1, 8]))


def softmax_over_a_vector(n):
    return n.add("Softmax", n.input("x", [1, 8]))


def transposed_picture(n):
    return n.add("Transpose", n.input("x", [1, 3, 8, 8]), perm=[0, 1, 3, 2])


def weights_that_are_computed(n):
    return n.add("MatMul", n.input("x", [1, 8]), n.add("Abs", n.input("w", [8, 8])))


def concatenated_rows(n):
    x = n.input("x", [1, 3, 8, 8])
    return n.add("Concat", x, n.add("Relu", x), axis=2)


def one_dimensional(n):
    return n.add("Conv", n.input("x", [1, 3, 8]), n.random(4, 3, 3))


def several_rows(n):
    return n.add("MatMul", n.input("x", [5, 8]), n.random(8, 8))


@pytest.mark.parametrize(
    "build",
    [
        unsupported_operator, softmax_over_a_vector, transposed_picture,
        weights_that_are_computed, concatenated_rows, one_dimensional, several_rows,
    ],
)  # fmt: skip
def test_a_node_is_named(build, network, tmp_path):
    made = network()
    output = build(made)
    path = made.save(tmp_path / "bad.onnx", output)
    with pytest.raises(
        SdiwmError, match=rf"bad.onnx: node 'n{len(made.nodes) - 1}' \(\w+\): .*\.$"
    ):
        import_onnx(path)


def test_an_input_of_another_type_is_named(network, tmp_path):
    made = network()
    output = made.add("Cast", made.input("tokens", [1, 4], TensorProto.INT64), to=1)
    with pytest.raises(SdiwmError, match=r"node 'tokens' \(Input\): give it the type"):
        import_onnx(made.save(tmp_path / "n.onnx", output))


def test_a_file_that_is_no_onnx(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    with pytest.raises(SdiwmError, match="is not a valid ONNX file"):
        import_onnx(tmp_path / "x.onnx")
    with pytest.raises(SdiwmError, match="is missing"):
        import_onnx(tmp_path / "y.onnx")


@pytest.fixture
def graph(network, tmp_path):
    made = network()
    return import_onnx(made.save(tmp_path / "n.onnx", made.dense(made.input("x", [1, 8]), 8, 3)))


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ({}, "hold no 'x'"),
        ({"x": np.zeros((4, 7))}, "the network takes 8 numbers"),
        ({"x": np.zeros((0, 8))}, "the network takes 8 numbers"),
        ({"x": np.full((4, 8), np.nan)}, "NaN or infinity"),
    ],
)
def test_bad_examples_are_named(graph, examples, sentence):
    with pytest.raises(SdiwmError, match=sentence):
        calibrate(graph, examples)


def test_ranges_of_another_network_are_refused(graph, tmp_path):
    with pytest.raises(SdiwmError, match="ranges have no entry for 'x'"):
        quantise(graph, Ranges({}, {}))
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(SdiwmError, match="holds no ranges"):
        Ranges.load(tmp_path / "r.json")
