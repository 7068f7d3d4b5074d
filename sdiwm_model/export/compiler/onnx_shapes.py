"""ONNX operators that move, join and cut values."""

from __future__ import annotations

import numpy as np
import onnx

from sdiwm_model.export.compiler.graph import Concat, Slice
from sdiwm_model.export.compiler.onnx_builder import (
    FLAT_CHW,
    FLAT_HWC,
    NCHW,
    NCP,
    NHWC,
    ROW,
    Builder,
)
from sdiwm_model.export.compiler.onnx_graph import attributes


def identity(builder: Builder, node: onnx.NodeProto) -> None:
    """The same numbers under another name."""
    builder.alias(node)


def transpose(builder: Builder, node: onnx.NodeProto) -> None:
    """NCHW <-> NHWC, which are one and the same in memory."""
    read = builder.read(node, node.input[0])
    perm = attributes(node).get("perm")
    moved = {(NCHW, (0, 2, 3, 1)): NHWC, (NHWC, (0, 3, 1, 2)): NCHW}
    layout = moved.get((read.layout, tuple(perm or ())))
    if layout is None and sum(n > 1 for n in builder.onnx.shape(node.input[0], node)) <= 1:
        layout = ROW
    if layout is None:
        builder.onnx.refuse(node, f"the permutation {perm} would move numbers in memory")
    builder.alias(node, layout)


def reshape(builder: Builder, node: onnx.NodeProto) -> None:
    """Another shape for the same numbers in the same order."""
    read = builder.read(node, node.input[0])
    height, width, channels = builder.graph.shapes[read.value]
    before = builder.onnx.shape(node.input[0], node)
    after = builder.onnx.shape(node.output[0], node)
    if (height, width) == (1, 1):
        builder.alias(node, ROW)
    elif before == after:
        builder.alias(node)
    elif read.layout == NCHW and after == (1, channels, height * width):
        builder.alias(node, NCP)
    elif read.layout == NCP and after == (1, channels, height, width):
        builder.alias(node, NCHW)
    elif after[-1] == height * width * channels:
        places = {NHWC: FLAT_HWC, FLAT_HWC: FLAT_HWC}
        builder.alias(node, places.get(read.layout, FLAT_CHW))
    else:
        builder.onnx.refuse(node, f"the shape {after} would move numbers in memory")


def expand(builder: Builder, node: onnx.NodeProto) -> None:
    """The same numbers: with batch 1 nothing is repeated."""
    if builder.onnx.shape(node.input[0], node) != builder.onnx.shape(node.output[0], node):
        builder.onnx.refuse(node, "may not repeat what is not constant")
    builder.alias(node)


def check_channel_axis(builder: Builder, node: onnx.NodeProto, axis: int) -> None:
    """Refuse any axis but that of the channels."""
    read, shape = builder.read(node, node.input[0]), builder.onnx.shape(node.input[0], node)
    axis %= len(shape)
    vector = sum(n > 1 for n in shape) <= 1 or (read.layout == ROW and axis == len(shape) - 1)
    wanted = {NCHW: 1, NHWC: 3, NCP: 1}.get(read.layout)
    if read.layout == ROW and vector and int(np.prod(shape[:axis])) == 1:
        return
    if axis != wanted:
        builder.onnx.refuse(node, f"axis {axis} is not that of the channels")


def concat(builder: Builder, node: onnx.NodeProto) -> None:
    """Channels side by side."""
    axis = attributes(node)["axis"]
    for name in node.input:
        if name in builder.constants:
            value = builder.constants[name].astype(np.float64)
            builder.note(name, ROW, (1, 1, value.size))
            builder.graph.constants[name] = value.reshape(1, 1, -1)
    reads = [builder.references[name] for name in node.input]
    shapes = [builder.graph.shapes[read.value] for read in reads]
    if node.input[0] not in builder.constants:
        check_channel_axis(builder, node, axis)
    if len({shape[:2] for shape in shapes}) > 1 or len({read.layout for read in reads}) > 1:
        builder.onnx.refuse(node, "its inputs differ in height, width or layout")
    height, width, _ = shapes[0]
    output = builder.new(node, reads[0].layout, (height, width, sum(s[2] for s in shapes)))
    inputs = tuple(read.value for read in reads)
    builder.graph.nodes.append(Concat(node.output[0], inputs, output))


def split(builder: Builder, node: onnx.NodeProto) -> None:
    """Channels apart."""
    check_channel_axis(builder, node, attributes(node).get("axis", 0))
    read = builder.read(node, node.input[0])
    height, width, channels = builder.graph.shapes[read.value]
    split = builder.optional(node, 1, np.array([]))
    count = len(node.output)
    size = -(-channels // count)
    sizes = [int(n) for n in split] or [size] * (count - 1) + [channels - size * (count - 1)]
    first = 0
    for name, width_of in zip(node.output, sizes, strict=True):
        builder.note(name, read.layout, (height, width, width_of))
        builder.graph.nodes.append(Slice(name, read.value, name, first))
        first += width_of


def cut(builder: Builder, node: onnx.NodeProto) -> None:
    """Slice: consecutive channels."""
    rank = len(builder.onnx.shape(node.input[0], node))
    start, stop, axes, steps = (
        [int(n) for n in builder.optional(node, i, np.array(d))]
        for i, d in ((1, []), (2, []), (3, range(rank)), (4, [1] * rank))
    )
    if len(start) != 1 or steps[0] != 1:
        builder.onnx.refuse(node, "only consecutive channels can be cut out")
    check_channel_axis(builder, node, axes[0])
    read = builder.read(node, node.input[0])
    height, width, channels = builder.graph.shapes[read.value]
    first, end, _ = slice(start[0], stop[0]).indices(channels)
    output = builder.new(node, read.layout, (height, width, end - first))
    builder.graph.nodes.append(Slice(output, read.value, output, first))
