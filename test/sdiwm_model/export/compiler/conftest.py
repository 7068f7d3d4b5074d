"""Random ONNX networks of every supported operator, and what compiling one takes."""

import numpy as np
import pytest

from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.calibrate import calibrate
from sdiwm_model.export.compiler.host import HostNetwork
from sdiwm_model.export.compiler.onnx_import import import_onnx
from sdiwm_model.export.compiler.quantise import quantise
from sdiwm_model.export.compiler.rewrite import simplify
from sdiwm_model.firmware.networks import random_examples
from sdiwm_model.firmware.sample_networks import Network

LIMITS = {"uint8": (0, 256), "int8": (-128, 128), "int16": (-32768, 32768)}


@pytest.fixture
def network(tmp_path):
    """network(seed) -> an empty Network."""
    return lambda seed=0: Network(np.random.default_rng(seed))


@pytest.fixture
def examples_of():
    return random_examples


def random_integers(program, rng):
    """Any integers of the inputs' types."""
    tensors = (program.tensors[name] for name in program.inputs)
    return {t.name: rng.integers(*LIMITS[t.dtype], t.shape) for t in tensors}


def compile_network(path, examples=6):
    graph = import_onnx(path)
    simplify(graph)
    return graph, quantise(graph, calibrate(graph, random_examples(graph, examples)))


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
