"""ONNX networks of every operator: imported exactly, and the same integers in C++ as in numpy."""

import numpy as np
import pytest

from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.float_reference import evaluate
from sdiwm_model.export.compiler.layout import arrange
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.patches import possible_lengths, stage
from sdiwm_model.export.compiler.rewrite import simplify
from sdiwm_model.firmware.sample_networks import NETWORKS
from sdiwm_model.runtime.session import open_session


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
