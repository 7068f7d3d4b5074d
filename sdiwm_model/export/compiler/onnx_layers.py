"""ONNX operators that are layers: convolution, matrix product, pooling, softmax."""

from __future__ import annotations

import numpy as np
import onnx

from sdiwm_model.export.compiler.graph import (
    Convolution,
    Floats,
    GlobalAverage,
    Pool,
    Shape,
    SpatialSoftmax,
    Window,
)
from sdiwm_model.export.compiler.onnx_builder import (
    ATTENTION,
    FLAT_CHW,
    NCHW,
    NCP,
    NHWC,
    ROW,
    Builder,
    Reference,
)
from sdiwm_model.export.compiler.onnx_graph import attributes


def convolution(builder: Builder, node: onnx.NodeProto) -> None:
    """Two-dimensional convolution, any groups, strides, padding and dilation."""
    value = builder.read_map(node, node.input[0])
    weight = builder.constant(node, 1)
    bias = builder.optional(node, 2, np.zeros(len(weight)))
    if weight.ndim != 4:
        builder.onnx.refuse(node, "only two-dimensional convolutions are supported")
    window = _window(builder, node, weight.shape[2:])
    groups = attributes(node).get("group", 1)
    output = builder.new(node, NCHW, _picture(builder, node))
    weight = weight.transpose(0, 2, 3, 1)
    builder.add(Convolution(node.output[0], value, output, weight, bias, window, groups))


def _picture(builder: Builder, node: onnx.NodeProto) -> Shape:
    _, channels, height, width = builder.onnx.shape(node.output[0], node)
    return height, width, channels


def _window(builder: Builder, node: onnx.NodeProto, kernel: tuple[int, ...]) -> Window:
    given = attributes(node)
    stride = given.get("strides", [1, 1])
    dilation = given.get("dilations", [1, 1])
    pads = given.get("pads", [0, 0, 0, 0])
    _, _, *size = builder.onnx.shape(node.input[0], node)
    _, _, *out = builder.onnx.shape(node.output[0], node)
    if given.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        upper = given["auto_pad"] == "SAME_UPPER"
        extent = [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
        total = [max(0, (out[i] - 1) * stride[i] + extent[i] - size[i]) for i in (0, 1)]
        pads = [t // 2 if upper else t - t // 2 for t in total]
    return Window(
        (kernel[0], kernel[1]), (stride[0], stride[1]), (pads[0], pads[1]),
        (dilation[0], dilation[1]),
    )  # fmt: skip


def gemm(builder: Builder, node: onnx.NodeProto) -> None:
    """Fully connected layer with constant weights."""
    given = attributes(node)
    if given.get("transA", 0):
        builder.onnx.refuse(node, "transA is not supported")
    weight = given.get("alpha", 1.0) * builder.constant(node, 1)
    weight = weight if given.get("transB", 0) else weight.T
    bias = given.get("beta", 1.0) * builder.optional(node, 2, np.zeros(len(weight)))
    dense(builder, node, weight, np.broadcast_to(bias, (1, len(weight)))[0])


def matmul(builder: Builder, node: onnx.NodeProto) -> None:
    """Product with a constant matrix; after a softmax over places, its grid."""
    weight = builder.constant(node, 1)
    read = builder.references.get(node.input[0])
    if weight.ndim != 2:
        builder.onnx.refuse(node, "its second input must be a constant matrix")
    if read is not None and read.layout == ATTENTION:
        channels = builder.graph.shapes[read.value][2]
        output = builder.new(node, ROW, (1, 1, channels * weight.shape[1]))
        builder.add(SpatialSoftmax(node.output[0], read.value, output, weight))
    else:
        dense(builder, node, weight.T, np.zeros(weight.shape[1]))


def dense(builder: Builder, node: onnx.NodeProto, weight: Floats, bias: Floats) -> None:
    """weight (O, I): a convolution that sees the whole input."""
    read = builder.read(node, node.input[0])
    height, width, channels = builder.graph.shapes[read.value]
    if height * width * channels != weight.shape[1]:
        builder.onnx.refuse(node, "only one row at a time can be multiplied by a matrix")
    if read.layout == FLAT_CHW:
        kernel = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    else:
        kernel = weight.reshape(-1, height, width, channels)
    output = builder.new(node, ROW, (1, 1, len(weight)))
    window = Window((height, width))
    builder.add(Convolution(node.output[0], read.value, output, kernel, bias, window))


def softmax(builder: Builder, node: onnx.NodeProto) -> None:
    """Softmax over all places of a picture, which waits for its grid."""
    read = builder.read(node, node.input[0])
    axis = attributes(node).get("axis", -1)
    if read.layout != NCP or axis not in (-1, 2) or node.output[0] in builder.onnx.outputs:
        builder.onnx.refuse(node, "is supported over all places of a picture, (1, C, H * W), only")
    builder.references[node.output[0]] = Reference(read.value, ATTENTION)


def max_pool(builder: Builder, node: onnx.NodeProto) -> None:
    """Largest number over a window."""
    _pool(builder, node, "max")


def average_pool(builder: Builder, node: onnx.NodeProto) -> None:
    """Mean over a window."""
    if attributes(node).get("ceil_mode", 0):
        builder.onnx.refuse(node, "ceil_mode is not supported")
    _pool(builder, node, "average")


def _pool(builder: Builder, node: onnx.NodeProto, kind: str) -> None:
    value = builder.read_map(node, node.input[0])
    if len(node.output) > 1:
        builder.onnx.refuse(node, "the places of the largest values are not supported")
    given = attributes(node)
    window = _window(builder, node, given["kernel_shape"])
    output = builder.new(node, NCHW, _picture(builder, node))
    counted = bool(given.get("count_include_pad", 0))
    builder.add(Pool(node.output[0], kind, value, output, window, counted))


def global_average(builder: Builder, node: onnx.NodeProto) -> None:
    """Mean over height and width."""
    value = builder.read_map(node, node.input[0])
    output = builder.new(node, ROW, (1, 1, builder.graph.shapes[value][2]))
    builder.add(GlobalAverage(node.output[0], value, output))


def reduce_mean(builder: Builder, node: onnx.NodeProto) -> None:
    """Mean over height and width, or over a vector."""
    read = builder.read(node, node.input[0])
    shape = builder.onnx.shape(node.input[0], node)
    axes = builder.optional(node, 1, np.array(attributes(node).get("axes", [])))
    reduced = {int(a) % len(shape) for a in axes} or set(range(len(shape)))
    channels = builder.graph.shapes[read.value][2]
    if read.layout in (NCHW, NHWC):
        if reduced != ({2, 3} if read.layout == NCHW else {1, 2}):
            builder.onnx.refuse(node, "only the mean over height and width is supported")
        output = builder.new(node, ROW, (1, 1, channels))
        builder.add(GlobalAverage(node.output[0], read.value, output))
    elif read.layout == ROW and int(np.prod([shape[a] for a in reduced])) == channels:
        dense(builder, node, np.full((1, channels), 1 / channels), np.zeros(1))
    else:
        builder.onnx.refuse(node, "only the mean over height and width is supported")
