"""ONNX operators of a quantised model (QDQ): the file's own scales become ranges of values."""

from __future__ import annotations

import numpy as np
import onnx

from sdiwm_model.export.compiler.onnx_builder import Builder

LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def quantize_linear(builder: Builder, node: onnx.NodeProto) -> None:
    """The integers of a value: its range is what they can say."""
    scale = builder.constant(node, 1)
    zero = builder.optional(node, 2, np.zeros(1))
    if scale.size != 1 or zero.size != 1:
        builder.onnx.refuse(node, "one scale for all numbers of an activation is supported only")
    kind = "uint8"
    if len(node.input) > 2 and node.input[2]:
        kind = builder.constants[node.input[2]].dtype.name
    if kind not in LIMITS:
        builder.onnx.refuse(node, f"integers of the type {kind} are not supported")
    builder.alias(node)
    low, high = ((limit - zero.item()) * scale.item() for limit in LIMITS[kind])
    value = builder.references[node.output[0]].value
    before = builder.graph.ranges.get(value, (low, high))
    builder.graph.ranges[value] = min(low, before[0]), max(high, before[1])


def dequantize_linear(builder: Builder, node: onnx.NodeProto) -> None:
    """The same value as reals."""
    builder.alias(node)
