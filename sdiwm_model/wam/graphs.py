"""The ONNX graphs of a world-action model, written operator by operator for speed on a CPU.

observe    one observation against the rolling cache -> its keys and values
recompute  the last observations, each with its window -> the keys and values of all of them
gates      times, spans and a goal -> what the layers of both experts are told
rank       the newest values and a goal -> scores of the future's tokens
video, joint, action
           one pass through the video expert, through both, or through the action expert
video_quick, joint_quick, action_quick
           the same, where what the layers between the first and the last add is given

What they compute is `model.WorldActionModel`, and `export` holds them to it.

Shapes: N chunks, m tokens of the future, n of an observation, W observations in the window, h
heads of width d; one tensor for each layer i where a name ends in _i.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdiwm_model.wam.experts import FASTEST, FREQUENCIES, GATES, MASKED
from sdiwm_model.wam.graph_builder import GraphBuilder
from sdiwm_model.wam.sizes import PATCH, POINT, WamSize
from sdiwm_model.wam.weights import QUICK

Shapes = Mapping[str, tuple[int, ...]]
Pair = tuple[str, str]  # keys and values
PASSES = {"video": ("video",), "joint": ("video", "action"), "action": ("action",)}
EPSILON = 1e-5  # of torch's layer normalisation
SPLIT_BY_HEAD = [0, 2, 1, 3]
SCALES = (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)  # the gates that multiply what they are told plus 1


def build_graphs(size: WamSize, shapes: Shapes) -> dict[str, GraphBuilder]:
    """All graphs by name.

    Args:
        shapes: of the model's tensors, by name.
    """
    found = {
        "observe": _observe(size, shapes),
        "recompute": _recompute(size, shapes),
        "gates": _gates(size, shapes),
        "rank": _rank(size, shapes),
    }
    for name, experts in PASSES.items():
        found[name] = _Pass(size, shapes, name, experts, every(size)).build()
        if len(quick(size)) < size.depth:
            found[name + QUICK] = _Pass(size, shapes, name, experts, quick(size)).build()
    return found


def every(size: WamSize) -> tuple[int, ...]:
    """All layers."""
    return tuple(range(size.depth))


def quick(size: WamSize) -> tuple[int, ...]:
    """The first layer and the last, which a quick pass runs."""
    return tuple(sorted({0, size.depth - 1}))


@dataclass(frozen=True)
class _Layers:
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


def _joined(g: GraphBuilder, read: list[Pair]) -> Pair:
    """Keys and values of all tokens that are read, (N, h, tokens, d)."""
    keys, values = zip(*read, strict=True)
    return g.node("Concat", *keys, axis=2), g.node("Concat", *values, axis=2)


def _attend(g: GraphBuilder, q: str, read: Pair, bias: str) -> str:
    """Softmax attention of q (N, h, m, d) over the tokens of ``read``."""
    k, v = read
    logits = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    return g.node("MatMul", g.node("Softmax", g.add(logits, bias), axis=-1), v)


def _per_layer(
    g: GraphBuilder, name: str, shape: list[int | str], layers: tuple[int, ...]
) -> dict[int, str]:
    return {i: g.input(f"{name}_{i}", shape) for i in layers}


def _window(
    g: GraphBuilder, size: WamSize, layers: tuple[int, ...], chunks: int | str
) -> dict[int, Pair]:
    """Inputs `keys_i` and `values_i` (N, h, W * n, d)."""
    shape: list[int | str] = [chunks, size.heads, size.window * size.seen_tokens, size.head_width]
    keys, values = (_per_layer(g, name, shape, layers) for name in ("keys", "values"))
    return {i: (keys[i], values[i]) for i in layers}


def _slot_biases(g: GraphBuilder, size: WamSize, lag: str, others: str) -> list[str]:
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


def _embedded(g: GraphBuilder, size: WamSize, o: str) -> str:
    """Observations (T, O) -> tokens (T, n, video width)."""
    mean, std = g.weight("observation.mean"), g.weight("observation.std")
    scaled = g.node("Div", g.node("Sub", o, mean), std)
    points = size.features // POINT
    z, features, proprio = g.split(scaled, [size.latent, size.features, size.proprio], axis=-1)
    body = g.linear(g.node("Concat", z, proprio, axis=-1), "observation.body")
    seen = g.reshape(features, -1, points, 1, POINT)
    seen = g.node("MatMul", seen, g.weight("observation.points.weight"))
    seen = g.add(g.reshape(seen, -1, points, size.video_width), g.weight("observation.points.bias"))
    return g.node("Concat", seen, g.reshape(body, -1, 1, size.video_width), axis=1)


def _seen_gates(g: GraphBuilder, size: WamSize) -> list[list[str]]:
    """Gates (1, 1, width) of observations, for each layer."""
    whole = g.add(g.weight("seen"), g.constant(np.array(SCALES, np.float32)[:, None]))
    rows = g.split(g.reshape(whole, -1, 1, size.video_width), [1] * (size.depth * GATES), axis=0)
    return [rows[i : i + GATES] for i in range(0, len(rows), GATES)]


def _observe(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """o (1, O), `keys_i`, `values_i`, `ages` -> `key_i`, `value_i` (1, h, n, d)."""
    g = GraphBuilder("observe", shapes)
    x = _embedded(g, size, g.input("o", [1, size.observation]))
    layers = _Layers(g, size, "video", size.video_width)
    window, gates = _window(g, size, every(size)[:-1], 1), _seen_gates(g, size)
    newest = g.node("Gather", g.weight("lag_video"), g.integers(0), axis=-1)
    own = g.integers(size.depth, size.heads, 1, size.seen_tokens)
    own = g.node("Expand", g.reshape(newest, size.depth, -1, 1, 1), own)
    biases = _slot_biases(g, size, "lag_video", own)
    shape = [1, size.heads, size.seen_tokens, size.head_width]
    for i in range(size.depth):
        q, k, v = layers.ask(x, i, gates[i])
        g.output(f"key_{i}", k, shape)
        g.output(f"value_{i}", v, shape)
        if i < size.depth - 1:  # nobody reads what becomes of the tokens after the last layer
            answer = _attend(g, q, _joined(g, [window[i], (k, v)]), biases[i])
            x = layers.take(x, i, gates[i], answer)
    return g


def _recompute(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """`episode` (T, O), `index` and `missing` (T, W): which of them each looks back on, newest
    first, 1 where there is none -> `keys_i`, `values_i` (1, h, W * n, d) of the last one's window.
    """
    g = GraphBuilder("recompute", shapes)
    x = _embedded(g, size, g.input("episode", ["steps", size.observation]))
    index = g.input("index", ["steps", size.window], np.int64)
    missing = g.input("missing", ["steps", size.window])
    last = g.node("Gather", index, g.integers(-1), axis=0)
    never = g.reshape(g.node("Mul", missing, g.floats(MASKED)), -1, 1, size.window)
    layers, gates = _Layers(g, size, "video", size.video_width), _seen_gates(g, size)
    lags = g.split(g.weight("lag_video"), [1] * size.depth, axis=0)
    tokens = size.window * size.seen_tokens
    shape = [1, size.heads, tokens, size.head_width]
    for i in range(size.depth):
        q, *read = layers.ask(x, i, gates[i])
        for name, each in zip(("keys", "values"), read, strict=True):
            g.output(f"{name}_{i}", _look_back(g, size, each, last), shape)
        if i < size.depth - 1:
            k, v = (_look_back(g, size, each, index) for each in read)
            bias = g.reshape(g.add(lags[i], never), -1, size.heads, size.window, 1)
            each_token = g.integers(1, 1, 1, size.seen_tokens)
            bias = g.reshape(g.node("Expand", bias, each_token), 0, 0, 1, tokens)
            answer = _attend(g, q, (k, v), bias)
            x = layers.take(x, i, gates[i], answer)
    return g


def _look_back(g: GraphBuilder, size: WamSize, x: str, index: str) -> str:
    """x (T, h, n, d), index (S, W) -> (S, h, W * n, d)."""
    chosen = g.node("Gather", x, index, axis=0)
    chosen = g.node("Transpose", chosen, perm=[0, 2, 1, 3, 4])
    return g.reshape(chosen, 0, 0, size.window * size.seen_tokens, size.head_width)


def _gates(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """`t`, `span` (R, 1), `c` (1, C) -> `video`, `action` (depth * 6, R, width), scales plus 1."""
    g = GraphBuilder("gates", shapes)
    t, span = (g.input(name, ["rows", 1]) for name in ("t", "span"))
    c = g.input("c", [1, size.conditioning])
    told = _sinusoids(g, t)
    ahead = g.node(
        "Sub", _sinusoids(g, span), _sinusoids(g, g.constant(np.zeros((1, 1), np.float32)))
    )
    for expert, width in (("video", size.video_width), ("action", size.action_width)):
        name = f"{expert}_expert.conditioning"
        x = g.add(
            g.linear(told, f"{name}.time"),
            g.linear(ahead, f"{name}.span", bias=False),
            g.linear(c, f"{name}.goal"),
        )
        x = _silu(g, g.linear(_silu(g, x), f"{name}.hidden"))
        rows = g.reshape(g.linear(x, f"{name}.output"), 1, -1, GATES, width)
        table = g.add(g.weight(f"{name}.table"), g.constant(np.array(SCALES, np.float32)[:, None]))
        whole = g.add(rows, g.reshape(table, size.depth, 1, GATES, width))
        whole = g.node("Transpose", whole, perm=[0, 2, 1, 3])
        count = size.depth * GATES
        g.output(expert, g.reshape(whole, count, -1, width), [count, "rows", width])
    return g


def _sinusoids(g: GraphBuilder, t: str) -> str:
    """t (R, 1) -> (R, 2 * FREQUENCIES)."""
    speeds = np.exp(np.linspace(0.0, math.log(FASTEST), FREQUENCIES, dtype=np.float32))
    angle = g.node("Mul", t, g.constant(speeds[None]))
    return g.node("Concat", g.node("Sin", angle), g.node("Cos", angle), axis=-1)


def _silu(g: GraphBuilder, x: str) -> str:
    return g.node("Mul", x, g.node("Sigmoid", x))


def _rank(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """`values` (1, h, n, d) of the newest observation in the last layer, `c` -> `scores` (M,)."""
    g = GraphBuilder("rank", shapes)
    values = g.input("values", [1, size.heads, size.seen_tokens, size.head_width])
    c = g.input("c", [1, size.conditioning])
    by_token = g.node("Transpose", values, perm=SPLIT_BY_HEAD)
    points, _ = g.split(by_token, [size.seen_tokens - 1, 1], axis=1)
    pairs = g.reshape(points, size.frame_tokens, -1)
    goal = g.linear(c, "ranker.goal", bias=False)
    hidden = g.node("Relu", g.add(g.linear(pairs, "ranker.point"), goal))
    hidden = g.reshape(hidden, size.frame_tokens, 1, -1)
    scores = g.reshape(
        g.node("MatMul", hidden, g.weight("ranker.score.weight")), size.frame_tokens, -1
    )
    scores = g.node("Transpose", g.add(scores, g.weight("ranker.score.bias")), perm=[1, 0])
    g.output("scores", g.reshape(scores, -1), [size.video_tokens])
    return g


class _Pass:
    """One pass through one expert or both.

    Inputs: `keys_i`, `values_i`, `ages` of the window; `others`, biases (depth, h, 1, ...) of the
    future and the actions, as far as they are read. Of the video expert `video` (N, m, PATCH),
    `kept` (m,), which tokens those are, and `video_gates` (depth * 6, 1, width). Of the action
    expert `action` (N, H, A) and `action_gates` (depth * 6, H, width), and where it runs alone
    `read_keys_i`, `read_values_i` (N, h, m, d) of the future, m = 0 for none.

    Outputs: `video_velocity`, `action_velocity`, the future's `read_keys_i`, `read_values_i`; and
    `video_middle`, `action_middle`, which the layers between the first and the last have added,
    or, where ``layers`` lacks those, they are inputs.
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
        self._layers = {name: _Layers(g, size, name, widths[name]) for name in experts}
        self._tokens: dict[str, int | str] = {"video": "kept", "action": size.chunk}

    def build(self) -> GraphBuilder:
        """The graph."""
        g, size = self._graph, self._size
        window = _window(g, size, self._run, "chunks")
        others = g.input("others", [size.depth, size.heads, 1, "others"])
        biases = _slot_biases(g, size, "lag_action", others)
        given = {} if "video" in self._experts else self._given_future()
        x, gates = self._embedded(), self._gates()
        first: dict[str, str] = {}
        for i in self._run:
            asked = {name: self._layers[name].ask(x[name], i, gates[name][i]) for name in x}
            own = [(k, v) for _, k, v in asked.values()]
            read = _joined(g, [window[i], *([given[i]] if given else []), *own])
            for name, (q, k, v) in asked.items():
                answer = _attend(g, q, read, biases[i])
                x[name] = self._layers[name].take(x[name], i, gates[name][i], answer)
                if name == "video":
                    self._put_read(i, k, v)
            if i == 0:
                first = dict(x)
                x = self._after_middle(x)
            if i == size.depth - 2:
                self._put_middle(first, x)
        self._put_velocities(x)
        return g

    def _given_future(self) -> dict[int, Pair]:
        size = self._size
        shape: list[int | str] = ["chunks", size.heads, "future", size.head_width]
        keys, values = (
            _per_layer(self._graph, name, shape, self._run) for name in ("read_keys", "read_values")
        )
        return {i: (keys[i], values[i]) for i in self._run}

    def _embedded(self) -> dict[str, str]:
        """First tokens of each expert."""
        g, size, found = self._graph, self._size, {}
        if "video" in self._experts:
            g.input("kept", ["kept"], np.int64)
            video = g.input("video", ["chunks", "kept", PATCH])
            found["video"] = self._per_token("future.read", video, size.video_width)
        if "action" in self._experts:
            action = g.input("action", ["chunks", size.chunk, size.action])
            found["action"] = g.add(g.linear(action, "actions.read"), g.weight("actions.places"))
        return found

    def _per_token(self, layer: str, x: str, outward: int) -> str:
        """`tokens.PerToken.some`: x (N, m, inward) -> (N, m, outward)."""
        g = self._graph
        weight, bias = (
            g.node("Gather", g.weight(f"{layer}.{name}"), "kept", axis=0)
            for name in ("weight", "bias")
        )
        product = g.node("MatMul", g.node("Unsqueeze", x, g.integers(2)), weight)
        return g.add(g.node("Squeeze", product, g.integers(2)), bias)

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

    def _put_velocities(self, x: dict[str, str]) -> None:
        g, size = self._graph, self._size
        for name, each in x.items():
            each = self._layers[name].norm(each)
            if name == "video":
                velocity = self._per_token("future.write", each, PATCH)
                g.output("video_velocity", velocity, ["chunks", "kept", PATCH])
            else:
                velocity = g.linear(each, "actions.write")
                g.output("action_velocity", velocity, ["chunks", size.chunk, size.action])

    def _shape(self, name: str) -> list[int | str]:
        return ["chunks", self._tokens[name], self._layers[name].width]
