"""The ONNX graphs of one pass through the experts of a world-action model."""

from __future__ import annotations

import numpy as np

from sdiwm_model.wam.experts import GATES
from sdiwm_model.wam.graph_builder import GraphBuilder
from sdiwm_model.wam.graph_layers import (
    Layers,
    Pair,
    Shapes,
    attend,
    joined,
    per_layer,
    slot_biases,
    window_inputs,
)
from sdiwm_model.wam.sizes import PATCH, WamSize


class PassGraph:
    """One pass through one expert or both, to the actions as they are without noise.

    The future's velocity is left to `follow_graph`, since not every pass asks for it; in a graph of
    its own, and not in a second one of both experts, whose weights would fill the caches again.

    Inputs: `keys_i`, `values_i`, `ages` of the window; `others`, biases (depth, h, 1, ...) of the
    future and the actions, as far as they are read. Of the video expert `video` (N, m, PATCH),
    `kept` (m,), which tokens those are, and `video_gates` (depth * 6, 1, width). Of the action
    expert `action` (N, H, A), `action_gates` (depth * 6, H, width) and `anchor` (1, H, A), and
    where it runs alone `read_keys_i`, `read_values_i` (N, h, m, d) of the future, m = 0 for none.

    Outputs: `clean_action`; the future's `read_keys_i`, `read_values_i`, its `video_tokens`
    before the last layer and the `video_answer` of the last attention; and `video_middle`,
    `action_middle`, which the layers between the first and the last have added, or, where
    ``layers`` lacks those, they are inputs.
    """

    def __init__(
        self,
        size: WamSize,
        shapes: Shapes,
        name: str,
        experts: tuple[str, ...],
        layers: tuple[int, ...],
    ) -> None:
        self._size, self._experts, self._run = size, experts, layers
        self._graph = g = GraphBuilder(name, shapes)
        widths = {"video": size.video_width, "action": size.action_width}
        self._layers = {name: Layers(g, size, name, widths[name]) for name in experts}
        self._tokens: dict[str, int | str] = {"video": "kept", "action": size.chunk}

    def build(self) -> GraphBuilder:
        """The graph."""
        g, size = self._graph, self._size
        window = window_inputs(g, size, self._run, "chunks")
        others = g.input("others", [size.depth, size.heads, 1, "others"])
        biases = slot_biases(g, size, "lag_action", others)
        given = {} if "video" in self._experts else self._given_future()
        x, gates = self._embedded(), self._gates()
        first: dict[str, str] = {}
        for i in self._run:
            asked = {name: self._layers[name].ask(x[name], i, gates[name][i]) for name in x}
            own = [(k, v) for _, k, v in asked.values()]
            read = joined(g, [window[i], *([given[i]] if given else []), *own])
            if "video" in asked:
                self._put_read(i, *asked["video"][1:])
            for name, (q, _, _) in asked.items():
                answer = attend(g, q, read, biases[i])
                if name == "video" and i == size.depth - 1:
                    self._put_unfollowed(x[name], answer)
                else:
                    x[name] = self._layers[name].take(x[name], i, gates[name][i], answer)
            if i == 0:
                first = dict(x)
                x = self._after_middle(x)
            if i == size.depth - 2:
                self._put_middle(first, x)
        if "action" in x:
            anchor = g.input("anchor", [1, size.chunk, size.action])
            found = g.linear(self._layers["action"].norm(x["action"]), "actions.write")
            g.output("clean_action", g.add(found, anchor), ["chunks", size.chunk, size.action])
        return g

    def _given_future(self) -> dict[int, Pair]:
        size = self._size
        shape: list[int | str] = ["chunks", size.heads, "future", size.head_width]
        keys, values = (
            per_layer(self._graph, name, shape, self._run) for name in ("read_keys", "read_values")
        )
        return {i: (keys[i], values[i]) for i in self._run}

    def _embedded(self) -> dict[str, str]:
        """First tokens of each expert."""
        g, size, found = self._graph, self._size, {}
        if "video" in self._experts:
            kept = g.input("kept", ["kept"], np.int64)
            video = g.input("video", ["chunks", "kept", PATCH])
            found["video"] = _per_token(g, "future.read", video, kept)
        if "action" in self._experts:
            action = g.input("action", ["chunks", size.chunk, size.action])
            found["action"] = g.add(g.linear(action, "actions.read"), g.weight("actions.places"))
        return found

    def _gates(self) -> dict[str, list[list[str]]]:
        """Gates (1, 1 or H, width) by expert and layer."""
        found = {}
        rows = {"video": 1, "action": self._size.chunk}
        for name, layers in self._layers.items():
            count = self._size.depth * GATES
            whole = self._graph.input(f"{name}_gates", [count, rows[name], layers.width])
            each = self._graph.split(whole, [1] * count, axis=0)
            found[name] = [each[i : i + GATES] for i in range(0, count, GATES)]
        return found

    def _after_middle(self, x: dict[str, str]) -> dict[str, str]:
        """Add what the layers between would, where this pass leaves them out."""
        if len(self._run) == self._size.depth:
            return x
        return {
            name: self._graph.add(each, self._graph.input(f"{name}_middle", self._shape(name)))
            for name, each in x.items()
        }

    def _put_middle(self, first: dict[str, str], x: dict[str, str]) -> None:
        for name, each in x.items():
            added = self._graph.node("Sub", each, first[name])
            self._graph.output(f"{name}_middle", added, self._shape(name))

    def _put_read(self, layer: int, k: str, v: str) -> None:
        shape: list[int | str] = ["chunks", self._size.heads, "kept", self._size.head_width]
        self._graph.output(f"read_keys_{layer}", k, shape)
        self._graph.output(f"read_values_{layer}", v, shape)

    def _put_unfollowed(self, x: str, answer: str) -> None:
        size = self._size
        self._graph.output("video_tokens", x, self._shape("video"))
        shape: list[int | str] = ["chunks", size.heads, "kept", size.head_width]
        self._graph.output("video_answer", answer, shape)

    def _shape(self, name: str) -> list[int | str]:
        return ["chunks", self._tokens[name], self._layers[name].width]


def follow_graph(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """`video_tokens`, `video_answer` of a pass, `video_gates`, `kept` -> `video_velocity`."""
    g = GraphBuilder("follow", shapes)
    layers = Layers(g, size, "video", size.video_width)
    x = g.input("video_tokens", ["chunks", "kept", size.video_width])
    answer = g.input("video_answer", ["chunks", size.heads, "kept", size.head_width])
    kept = g.input("kept", ["kept"], np.int64)
    count = size.depth * GATES
    each = g.split(g.input("video_gates", [count, 1, size.video_width]), [1] * count, axis=0)
    x = layers.norm(layers.take(x, size.depth - 1, each[-GATES:], answer))
    velocity = _per_token(g, "future.write", x, kept)
    g.output("video_velocity", velocity, ["chunks", "kept", PATCH])
    return g


def _per_token(g: GraphBuilder, layer: str, x: str, kept: str) -> str:
    """`tokens.PerToken.some`: x (N, m, inward) -> (N, m, outward)."""
    weight, bias = (
        g.node("Gather", g.weight(f"{layer}.{name}"), kept, axis=0) for name in ("weight", "bias")
    )
    product = g.node("MatMul", g.node("Unsqueeze", x, g.integers(2)), weight)
    return g.add(g.node("Squeeze", product, g.integers(2)), bias)
