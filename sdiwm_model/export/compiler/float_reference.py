"""The graph in float64, in numpy: what calibration measures and quantisation approximates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from sdiwm_model.export.compiler.graph import (
    Binary,
    Concat,
    Convolution,
    Floats,
    GlobalAverage,
    Graph,
    Node,
    Pool,
    Shape,
    Slice,
    SpatialSoftmax,
    Unary,
    windows,
)


def evaluate(graph: Graph, inputs: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Every value of the graph, each (height, width, channels); `inputs` of any such shape."""
    values: dict[str, Floats] = dict(graph.constants)
    for entry in graph.inputs:
        x = np.asarray(inputs[entry.name], np.float64).reshape(graph.shapes[entry.name])
        values[entry.name] = (x - entry.zero) * entry.scale if entry.is_bytes else x
    for node in graph.nodes:
        read = [values[name] for name in node.inputs]
        values[node.output] = _run(node, read, graph.shapes[node.output])
    return values


def _run(node: Node, read: list[Floats], shape: Shape) -> Floats:
    x = read[0]
    match node:
        case Convolution():
            return np.clip(_convolution(node, x, shape), node.low, node.high)
        case Unary():
            return node.function(x)
        case Binary(kind="mul"):
            return np.clip(x * read[1], node.low, node.high)
        case Binary():
            other = read[1] if node.kind == "add" else -read[1]
            return np.clip(x + other, node.low, node.high)
        case Concat():
            return np.concatenate(read, axis=2)
        case Slice():
            return x[:, :, node.first : node.first + shape[2]]
        case Pool():
            return _pool(node, x, shape)
        case GlobalAverage():
            return x.mean(axis=(0, 1), keepdims=True)
        case SpatialSoftmax():
            flat = x.reshape(-1, x.shape[2])
            weight = np.exp(flat - flat.max(axis=0))
            expected = (weight / weight.sum(axis=0)).T @ node.grid
            return expected.reshape(1, 1, -1)


def _convolution(node: Convolution, x: Floats, shape: Shape) -> Floats:
    seen = windows(x, node.window, shape[:2], 0.0)
    inward, outward = x.shape[2] // node.groups, shape[2] // node.groups
    parts = []
    for group in range(node.groups):
        weight = node.weight[group * outward : (group + 1) * outward]
        columns = seen[..., group * inward : (group + 1) * inward]
        columns = columns.reshape(*shape[:2], -1)
        parts.append(columns @ weight.reshape(outward, -1).T)
    return np.concatenate(parts, axis=2) + node.bias


def _pool(node: Pool, x: Floats, shape: Shape) -> Floats:
    if node.kind == "max":
        return windows(x, node.window, shape[:2], -np.inf).max(axis=(2, 3))
    total = windows(x, node.window, shape[:2], 0.0).sum(axis=(2, 3))
    fill = 1.0 if node.count_padding else 0.0
    count = windows(np.ones(x.shape), node.window, shape[:2], fill).sum(axis=(2, 3))
    return total / count
