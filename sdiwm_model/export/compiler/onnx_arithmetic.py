"""ONNX operators that add, multiply and normalise."""

from __future__ import annotations

import numpy as np
import onnx

from sdiwm_model.export.compiler.graph import Binary, Convolution, Floats, Shape
from sdiwm_model.export.compiler.onnx_builder import FLAT_CHW, NCHW, NCP, Builder
from sdiwm_model.export.compiler.onnx_graph import attributes


def batch_normalization(builder: Builder, node: onnx.NodeProto) -> None:
    """Normalisation with fixed statistics: a gain and an offset a channel."""
    scale, shift, mean, variance = (builder.constant(node, i) for i in range(1, 5))
    gain = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    _affine(builder, node, gain, shift - gain * mean)


def _affine(builder: Builder, node: onnx.NodeProto, gain: Floats, offset: Floats) -> None:
    """One gain and offset a channel: a depthwise convolution of one place."""
    read = builder.read(node, next(n for n in node.input if n not in builder.constants))
    shape = builder.graph.shapes[read.value]
    channels = shape[2]
    weight = np.broadcast_to(gain, channels).reshape(channels, 1, 1, 1).copy()
    bias = np.broadcast_to(offset, channels).copy()
    output = builder.new(node, read.layout, shape)
    builder.add(Convolution(node.output[0], read.value, output, weight, bias, groups=channels))


def add(builder: Builder, node: onnx.NodeProto) -> None:
    """x + y, or x + constant."""
    _binary(builder, node, "add")


def subtract(builder: Builder, node: onnx.NodeProto) -> None:
    """x - y, or with a constant on either side."""
    _binary(builder, node, "sub")


def multiply(builder: Builder, node: onnx.NodeProto) -> None:
    """x * y, or x * constant."""
    _binary(builder, node, "mul")


def divide(builder: Builder, node: onnx.NodeProto) -> None:
    """x / constant."""
    divisor = builder.constant(node, 1)
    if not np.all(divisor):
        builder.onnx.refuse(node, "divides by zero")
    _with_constant(builder, node, "mul", 1.0 / divisor, first=False)


def _binary(builder: Builder, node: onnx.NodeProto, kind: str) -> None:
    known = [name in builder.constants for name in node.input]
    if any(known):
        index = known.index(True)
        _with_constant(builder, node, kind, builder.constant(node, index), first=index == 0)
        return
    a, b = (builder.read(node, name) for name in node.input)
    shapes = [builder.graph.shapes[read.value] for read in (a, b)]
    if kind != "sub" and np.prod(shapes[0]) < np.prod(shapes[1]):
        a, b, shapes = b, a, shapes[::-1]
    same = shapes[0] == shapes[1] and (a.layout == b.layout or shapes[0][:2] == (1, 1))
    one_a_channel = shapes[1] == (1, 1, shapes[0][2]) and a.layout == NCHW
    if not same and not one_a_channel:
        builder.onnx.refuse(node, f"cannot combine the shapes {shapes[0]} and {shapes[1]}")
    output = builder.new(node, a.layout, shapes[0])
    builder.add(Binary(node.output[0], kind, (a.value, b.value), output))


def _with_constant(
    builder: Builder, node: onnx.NodeProto, kind: str, constant: Floats, first: bool
) -> None:
    """x (+, -, *) constant: one number a channel, or a picture of constants."""
    read = builder.read(node, next(n for n in node.input if n not in builder.constants))
    shape = builder.graph.shapes[read.value]
    if builder.onnx.shape(node.output[0], node) != builder.onnx.shape(
        next(n for n in node.input if n not in builder.constants), node
    ):
        builder.onnx.refuse(node, "may not repeat what is not constant")
    placed = _placed(builder, node, constant, read.layout, shape)
    sign = -1.0 if kind == "sub" else 1.0
    if (placed == placed[:1, :1]).all():
        row = placed[0, 0]
        if kind == "mul":
            _affine(builder, node, row, np.zeros(1))
        else:
            _affine(builder, node, np.array(sign if first else 1.0), row if first else sign * row)
        return
    name = f"{node.output[0]}.constant"
    builder.graph.constants[name], builder.graph.shapes[name] = placed, shape
    output = builder.new(node, read.layout, shape)
    pair = (name, read.value) if first else (read.value, name)
    builder.add(Binary(node.output[0], kind, pair, output))


def _placed(
    builder: Builder, node: onnx.NodeProto, constant: Floats, layout: str, shape: Shape
) -> Floats:
    """A constant broadcast to the ONNX shape of the output, as (height, width, channels)."""
    full = np.broadcast_to(constant, builder.onnx.shape(node.output[0], node))
    if layout == NCHW:
        return full[0].transpose(1, 2, 0)
    if layout in (NCP, FLAT_CHW):
        return full.reshape(shape[2], shape[0], shape[1]).transpose(1, 2, 0)
    return full.reshape(shape)
