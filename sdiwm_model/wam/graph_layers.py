"""What the ONNX graphs of a world-action model have in common: layers, attention, the window.

Shapes: as in `graphs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdiwm_model.wam.experts import MASKED
from sdiwm_model.wam.graph_builder import GraphBuilder
from sdiwm_model.wam.sizes import WamSize

Shapes = Mapping[str, tuple[int, ...]]
Pair = tuple[str, str]  # keys and values
EPSILON = 1e-5  # of torch's layer normalisation
SPLIT_BY_HEAD = [0, 2, 1, 3]


def every(size: WamSize) -> tuple[int, ...]:
    """All layers."""
    return tuple(range(size.depth))


def quick(size: WamSize) -> tuple[int, ...]:
    """The first layer and the last, which a quick pass runs."""
    return tuple(sorted({0, size.depth - 1}))


@dataclass(frozen=True)
class Layers:
    """The layers of one expert, on tokens (N, m, width)."""

    graph: GraphBuilder
    size: WamSize
    expert: str
    width: int

    def ask(self, x: str, layer: int, gates: list[str]) -> tuple[str, str, str]:
        """Tokens -> queries, times d ** -0.5, keys and values (N, h, m, d)."""
        g, size = self.graph, self.size
        read = g.linear(self._told(x, gates[0], gates[1]), f"{self._name(layer)}.read")
        read = g.reshape(read, 0, 0, 3 * size.heads, size.head_width)
        by_head = g.node("Transpose", read, perm=SPLIT_BY_HEAD)
        q, k, v = g.split(by_head, [size.heads] * 3, axis=1)
        return g.node("Mul", q, g.floats(size.head_width**-0.5)), k, v

    def take(self, x: str, layer: int, gates: list[str], answer: str) -> str:
        """Tokens and the attention's answer (N, h, m, d) -> tokens after the layer."""
        g, name = self.graph, self._name(layer)
        answer = g.node("Transpose", answer, perm=SPLIT_BY_HEAD)
        answer = g.reshape(answer, 0, 0, self.size.heads * self.size.head_width)
        x = g.add(x, g.node("Mul", gates[2], g.linear(answer, f"{name}.write")))
        hidden = g.linear(self._told(x, gates[3], gates[4]), f"{name}.mlp.0")
        hidden = g.node("Gelu", hidden, approximate="tanh")
        return g.add(x, g.node("Mul", gates[5], g.linear(hidden, f"{name}.mlp.2")))

    def _told(self, x: str, shift: str, scale: str) -> str:
        """Layer normalisation, whose gain and bias may differ from token to token."""
        return self._normalised(x, scale, shift)

    def norm(self, x: str) -> str:
        """Layer normalisation without a gain."""
        return self._normalised(x, self.graph.constant(np.ones(self.width, np.float32)))

    def _normalised(self, *inputs: str) -> str:
        return self.graph.node("LayerNormalization", *inputs, axis=-1, epsilon=EPSILON)

    def _name(self, layer: int) -> str:
        return f"{self.expert}_expert.layers.{layer}"


def joined(g: GraphBuilder, read: list[Pair]) -> Pair:
    """Keys and values of all tokens that are read, (N, h, tokens, d)."""
    keys, values = zip(*read, strict=True)
    return g.node("Concat", *keys, axis=2), g.node("Concat", *values, axis=2)


def attend(g: GraphBuilder, q: str, read: Pair, bias: str) -> str:
    """Softmax attention of q (N, h, m, d) over the tokens of ``read``."""
    k, v = read
    logits = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    return g.node("MatMul", g.node("Softmax", g.add(logits, bias), axis=-1), v)


def per_layer(
    g: GraphBuilder, name: str, shape: list[int | str], layers: tuple[int, ...]
) -> dict[int, str]:
    """Inputs NAME_i of given layers."""
    return {i: g.input(f"{name}_{i}", shape) for i in layers}


def window_inputs(
    g: GraphBuilder, size: WamSize, layers: tuple[int, ...], chunks: int | str
) -> dict[int, Pair]:
    """Inputs `keys_i` and `values_i` (N, h, W * n, d)."""
    shape: list[int | str] = [chunks, size.heads, size.window * size.seen_tokens, size.head_width]
    keys, values = (per_layer(g, name, shape, layers) for name in ("keys", "values"))
    return {i: (keys[i], values[i]) for i in layers}


def slot_biases(g: GraphBuilder, size: WamSize, lag: str, others: str) -> list[str]:
    """Input `ages` (W,): model steps since each slot was seen, W where it must not be read ->
    biases (1, h, 1, tokens) of each layer.

    Args:
        others: biases (depth, h, 1, ...) of what is read after the window.
    """
    never = np.full((size.depth, size.heads, 1), MASKED, np.float32)
    table = g.node("Concat", g.weight(lag), g.constant(never), axis=-1)
    chosen = g.node("Gather", table, g.input("ages", [size.window], np.int64), axis=-1)
    chosen = g.reshape(chosen, size.depth, size.heads, size.window, 1)
    tokens = g.integers(size.depth, size.heads, size.window, size.seen_tokens)
    slots = g.reshape(g.node("Expand", chosen, tokens), size.depth, size.heads, 1, -1)
    return g.split(g.node("Concat", slots, others, axis=-1), [1] * size.depth, axis=0)
