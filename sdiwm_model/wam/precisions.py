"""The graphs of a world-action model in fewer bits.

fp16   weights, tokens and sums in 16-bit floats, inputs and outputs as before: for GPUs; a CPU
       computes them in 32 bits and converts
int8   weights of the linear layers by output channel, what enters them by its range at every call;
       attention, norms and sums stay floats, and so does what is told the layers
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.wam.graph_builder import GraphBuilder, name_weight
from sdiwm_model.wam.graphs import PASSES
from sdiwm_model.wam.weights import QUICK, Tensors

if TYPE_CHECKING:
    from onnx import ModelProto

TURNED = ".turned"  # after the name of a weight that a graph holds transposed
ROUNDED = ("observe", "recompute", "follow", *PASSES, *(name + QUICK for name in PASSES))  # in int8


def in_fp16(graph: GraphBuilder, tensors: Tensors) -> ModelProto:
    """A graph in 16-bit floats, its weights named as before."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    whole = _with_weights(graph, tensors, turned=False)
    made = convert_float_to_float16(whole, keep_io_types=True, disable_shape_infer=True)
    ONNXModel(made).topological_sort()  # as the format asks: the converter appends its casts
    _name_again(made, set(tensors))
    return made


def in_int8(graph: GraphBuilder, tensors: Tensors) -> tuple[ModelProto, Tensors]:
    """A graph with int8 weights, and those by name: the same in all graphs of a model."""
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = _with_weights(graph, tensors, turned=True)
    held = {x.name for x in whole.graph.initializer if x.name.endswith(TURNED)}
    layers = [node.name for node in whole.graph.node if held.intersection(node.input)]
    with tempfile.TemporaryDirectory() as temporary, _quiet():
        path = Path(temporary) / "made.onnx"
        quantize_dynamic(
            whole, path, weight_type=QuantType.QInt8, per_channel=True,
            op_types_to_quantize=["MatMul"], nodes_to_quantize=layers,
        )  # fmt: skip
        made = onnx.load(path)
    rounded = {x.name: numpy_helper.to_array(x) for x in made.graph.initializer if TURNED in x.name}
    _name_again(made, {*tensors, *rounded})
    return made, rounded


def _with_weights(graph: GraphBuilder, tensors: Tensors, turned: bool) -> ModelProto:
    """A graph that holds its weights, where ``turned`` those of linear layers transposed."""
    from onnx import numpy_helper

    made = graph.model()
    absent = set(graph.weights)
    renamed: dict[str, str] = {}
    for node in list(made.graph.node) if turned else []:
        if node.op_type == "Transpose" and node.input[0] in absent:
            renamed[node.output[0]] = node.input[0] + TURNED
            made.graph.node.remove(node)
    for node in made.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    used = {name for node in made.graph.node for name in node.input}
    held = [x for x in made.graph.initializer if x.name not in absent]
    held += [numpy_helper.from_array(tensors[name], name) for name in sorted(absent & used)]
    for name in sorted(set(renamed.values())):
        transposed = tensors[name.removesuffix(TURNED)].T.copy()
        held.append(numpy_helper.from_array(transposed, name))
    del made.graph.initializer[:]
    made.graph.initializer.extend(held)
    return made


def _name_again(made: ModelProto, names: set[str]) -> None:
    """Take the tensors ``names`` out of a graph that holds them."""
    from onnx import helper

    held = list(made.graph.initializer)
    del made.graph.initializer[:]
    for x in held:
        kind = helper.tensor_dtype_to_np_dtype(x.data_type)
        made.graph.initializer.append(name_weight(x.name, x.dims, kind) if x.name in names else x)


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser recommends a pre-processing that these graphs do not need."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
