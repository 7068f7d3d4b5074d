"""Graph -> smaller graph with the same values: gains and offsets folded, clips fused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdiwm_model.export.compiler.functions import limits
from sdiwm_model.export.compiler.graph import (
    INFINITY,
    POINTWISE,
    Binary,
    Concat,
    Convolution,
    Graph,
    Input,
    Node,
    Slice,
    Unary,
)


def simplify(graph: Graph) -> None:
    """Fold what can be folded, in place; outputs keep their values."""
    _drop_unused(graph)
    _normalised_inputs(graph)
    changed = True
    while changed:
        changed = _fold_one(graph)
    _grouped_to_dense(graph)
    _crop_vector_kernels(graph)


def _drop_unused(graph: Graph) -> None:
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]


def is_affine(node: Node | None) -> bool:
    """Whether a node is one gain and one offset a channel, and nothing else."""
    return (
        isinstance(node, Convolution)
        and node.window == POINTWISE
        and node.groups == len(node.weight) > 0
        and node.weight.shape[3] == 1
        and (node.low, node.high) == (-INFINITY, INFINITY)
    )


def _normalised_inputs(graph: Graph) -> None:
    """Bytes that are first made real by one gain and one offset: that is their scale and zero."""
    for entry in graph.inputs:
        if not entry.is_bytes:
            continue
        while (gain := _common_affine(graph, entry)) is not None:
            scale, offset, affines = gain
            entry.zero = entry.zero - offset / (scale * entry.scale)
            entry.scale *= scale
            for node in affines:
                _remove(graph, node)


def _common_affine(graph: Graph, entry: Input) -> tuple[float, float, list[Convolution]] | None:
    """The affine map that everything reading the input, whole or in slices, begins with."""
    readers: list[Node] = []
    for node in graph.consumers(entry.name):
        readers += graph.consumers(node.output) if isinstance(node, Slice) else [node]
        if isinstance(node, Slice) and node.output in graph.outputs:
            return None
    affines = [node for node in readers if isinstance(node, Convolution) and is_affine(node)]
    if not readers or len(affines) != len(readers) or entry.name in graph.outputs:
        return None
    gains = np.unique(np.concatenate([node.weight.ravel() for node in affines]))
    offsets = np.unique(np.concatenate([node.bias for node in affines]))
    if len(gains) > 1 or len(offsets) > 1 or gains[0] <= 0:
        return None
    if any(node.output in graph.outputs for node in affines):
        return None
    return float(gains[0]), float(offsets[0]), affines


def _remove(graph: Graph, node: Convolution) -> None:
    """Let everybody read the input of `node` instead of its output."""
    graph.nodes.remove(node)
    graph.nodes = [_reading(other, node.output, node.input) for other in graph.nodes]


def _reading(node: Node, old: str, new: str) -> Node:
    """`node` with its input `old` replaced by `new`."""
    if old not in node.inputs:
        return node
    if isinstance(node, Binary):
        a, b = (new if name == old else name for name in node.inputs)
        return replace(node, inputs=(a, b))
    if isinstance(node, Concat):
        return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
    return replace(node, input=new)


def _fold_one(graph: Graph) -> bool:
    for index, node in enumerate(graph.nodes):
        follower = graph.only_consumer(node.output)
        folded = None if follower is None else _folded(node, follower)
        if folded is not None and follower is not None:
            graph.nodes[index] = folded
            graph.nodes.remove(follower)
            return True
    return False


def _folded(node: Node, follower: Node) -> Node | None:
    """`node` and its only reader as one node, None where that is impossible."""
    if isinstance(node, Convolution | Binary) and isinstance(follower, Unary):
        bounds = limits(follower.function)
        if bounds is None:
            return None
        low, high = np.clip((node.low, node.high), *bounds)
        return replace(node, output=follower.output, low=float(low), high=float(high))
    unclipped = isinstance(node, Convolution) and (node.low, node.high) == (-INFINITY, INFINITY)
    if not isinstance(node, Convolution) or not unclipped or not is_affine(follower):
        return None
    assert isinstance(follower, Convolution)
    gain = follower.weight.ravel()
    return replace(
        node,
        output=follower.output,
        weight=node.weight * gain[:, None, None, None],
        bias=node.bias * gain + follower.bias,
    )


def _grouped_to_dense(graph: Graph) -> None:
    """Groups that are neither one nor one a channel become a dense layer with zeros."""
    for index, node in enumerate(graph.nodes):
        if not isinstance(node, Convolution) or node.groups == 1:
            continue
        outward, height, width, inward = node.weight.shape
        if inward == 1 and node.groups == outward:
            continue
        dense = np.zeros((outward, height, width, inward * node.groups))
        rows = outward // node.groups
        for group in range(node.groups):
            own = slice(group * rows, (group + 1) * rows)
            dense[own, :, :, group * inward : (group + 1) * inward] = node.weight[own]
        graph.nodes[index] = replace(node, weight=dense, groups=1)


def _crop_vector_kernels(graph: Graph) -> None:
    """Of a kernel over a single place, only the weight that meets it counts."""
    for index, node in enumerate(graph.nodes):
        if not isinstance(node, Convolution) or node.window == POINTWISE:
            continue
        if graph.shapes[node.input][:2] != (1, 1) or graph.shapes[node.output][:2] != (1, 1):
            continue
        (y, x), (dy, dx) = node.window.pad, node.window.dilation
        weight = np.zeros_like(node.weight[:, :1, :1])
        if y % dy == 0 and x % dx == 0:
            weight = node.weight[:, y // dy : y // dy + 1, x // dx : x // dx + 1]
        graph.nodes[index] = replace(node, weight=weight, window=POINTWISE)
