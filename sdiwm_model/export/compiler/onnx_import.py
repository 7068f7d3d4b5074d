"""ONNX -> graph of the compiler's nodes; what is not supported is refused by its node's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from sdiwm_model.export.compiler import (
    onnx_arithmetic,
    onnx_layers,
    onnx_quantised,
    onnx_shapes,
)
from sdiwm_model.export.compiler.functions import elementwise
from sdiwm_model.export.compiler.graph import Graph, Unary
from sdiwm_model.export.compiler.onnx_builder import Builder
from sdiwm_model.export.compiler.onnx_graph import OnnxGraph, attributes
from sdiwm_model.export.compiler.onnx_gru import gru

HANDLERS: dict[str, Callable[[Builder, onnx.NodeProto], None]] = {
    "Add": onnx_arithmetic.add,
    "AveragePool": onnx_layers.average_pool,
    "BatchNormalization": onnx_arithmetic.batch_normalization,
    "Cast": onnx_shapes.identity,
    "Concat": onnx_shapes.concat,
    "Conv": onnx_layers.convolution,
    "DequantizeLinear": onnx_quantised.dequantize_linear,
    "Div": onnx_arithmetic.divide,
    "Dropout": onnx_shapes.identity,
    "Expand": onnx_shapes.expand,
    "Flatten": onnx_shapes.reshape,
    "GRU": gru,
    "Gemm": onnx_layers.gemm,
    "GlobalAveragePool": onnx_layers.global_average,
    "Identity": onnx_shapes.identity,
    "MatMul": onnx_layers.matmul,
    "MaxPool": onnx_layers.max_pool,
    "Mul": onnx_arithmetic.multiply,
    "QuantizeLinear": onnx_quantised.quantize_linear,
    "ReduceMean": onnx_layers.reduce_mean,
    "Reshape": onnx_shapes.reshape,
    "Slice": onnx_shapes.cut,
    "Softmax": onnx_layers.softmax,
    "Split": onnx_shapes.split,
    "Squeeze": onnx_shapes.reshape,
    "Sub": onnx_arithmetic.subtract,
    "Transpose": onnx_shapes.transpose,
    "Unsqueeze": onnx_shapes.reshape,
}


def import_onnx(path: Path) -> Graph:
    """Read an ONNX file; every operator is one of HANDLERS or of `functions.elementwise`.

    Raises:
        SdiwmError: no ONNX file, or a node that is not supported: its name is in the sentence.
    """
    builder = Builder(OnnxGraph(path))
    for entry in builder.onnx.inputs:
        builder.add_input(entry)
    for node in builder.onnx.nodes:
        _add(builder, node)
    builder.finish()
    return builder.graph


def _add(builder: Builder, node: onnx.NodeProto) -> None:
    function = elementwise(node.op_type, attributes(node), builder.constants_after_first(node))
    if function is not None:
        read = builder.read(node, node.input[0])
        output = builder.new(node, read.layout, builder.graph.shapes[read.value])
        builder.add(Unary(output, read.value, output, *function))
    elif node.op_type in HANDLERS:
        HANDLERS[node.op_type](builder, node)
    else:
        page = "doc/how-to/compile-onnx.md"
        builder.onnx.refuse(node, f"is not supported; {page} lists the operators that are")
