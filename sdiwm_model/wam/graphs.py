"""The ONNX graphs of a world-action model, written operator by operator for speed on a CPU.

observe    one observation against the rolling cache -> its keys and values
recompute  the last observations, each with its window -> the keys and values of all of them
gates      times, spans, a goal and an observation -> what the layers of both experts are told
rank       the newest values and a goal -> scores of the future's tokens
video, joint, action
           one pass through the video expert, through both, or through the action expert
follow     the last of what video and joint leave out: where the future goes
video_quick, joint_quick, action_quick
           one pass, where what the layers between the first and the last add is given

What they compute is `model.WorldActionModel`, and `export` holds them to it.

Shapes: N chunks, m tokens of the future, n of an observation, W observations in the window, h
heads of width d; one tensor for each layer i where a name ends in _i.
"""

from __future__ import annotations

import math

import numpy as np

from sdiwm_model.wam.experts import FASTEST, FREQUENCIES, GATES, MASKED
from sdiwm_model.wam.graph_builder import GraphBuilder
from sdiwm_model.wam.graph_layers import (
    SPLIT_BY_HEAD,
    Layers,
    Shapes,
    attend,
    every,
    joined,
    quick,
    slot_biases,
    window_inputs,
)
from sdiwm_model.wam.graph_pass import PassGraph, follow_graph
from sdiwm_model.wam.sizes import POINT, WamSize
from sdiwm_model.wam.weights import QUICK

PASSES = {"video": ("video",), "joint": ("video", "action"), "action": ("action",)}
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
        "follow": follow_graph(size, shapes),
    }
    for name, experts in PASSES.items():
        found[name] = PassGraph(size, shapes, name, experts, every(size)).build()
        if len(quick(size)) < size.depth:
            graph = PassGraph(size, shapes, name + QUICK, experts, quick(size))
            found[name + QUICK] = graph.build()
    return found


def _normalised(g: GraphBuilder, o: str) -> str:
    """Observations (T, O) in units of what they are in the data."""
    mean, std = g.weight("observation.mean"), g.weight("observation.std")
    return g.node("Div", g.node("Sub", o, mean), std)


def _embedded(g: GraphBuilder, size: WamSize, o: str) -> str:
    """Observations (T, O) -> tokens (T, n, video width)."""
    scaled = _normalised(g, o)
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
    layers = Layers(g, size, "video", size.video_width)
    window, gates = window_inputs(g, size, every(size)[:-1], 1), _seen_gates(g, size)
    newest = g.node("Gather", g.weight("lag_video"), g.integers(0), axis=-1)
    own = g.integers(size.depth, size.heads, 1, size.seen_tokens)
    own = g.node("Expand", g.reshape(newest, size.depth, -1, 1, 1), own)
    biases = slot_biases(g, size, "lag_video", own)
    shape = [1, size.heads, size.seen_tokens, size.head_width]
    for i in range(size.depth):
        q, k, v = layers.ask(x, i, gates[i])
        g.output(f"key_{i}", k, shape)
        g.output(f"value_{i}", v, shape)
        if i < size.depth - 1:  # nobody reads what becomes of the tokens after the last layer
            answer = attend(g, q, joined(g, [window[i], (k, v)]), biases[i])
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
    layers, gates = Layers(g, size, "video", size.video_width), _seen_gates(g, size)
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
            answer = attend(g, q, (k, v), bias)
            x = layers.take(x, i, gates[i], answer)
    return g


def _look_back(g: GraphBuilder, size: WamSize, x: str, index: str) -> str:
    """x (T, h, n, d), index (S, W) -> (S, h, W * n, d)."""
    chosen = g.node("Gather", x, index, axis=0)
    chosen = g.node("Transpose", chosen, perm=[0, 2, 1, 3, 4])
    return g.reshape(chosen, 0, 0, size.window * size.seen_tokens, size.head_width)


def _gates(size: WamSize, shapes: Shapes) -> GraphBuilder:
    """`t`, `span` (R, 1), `c` (1, C), `o` (1, O) -> `video`, `action` (depth * 6, R, width), and
    the `anchor` (1, H, A). Gates that scale are given with their 1 added.
    """
    g = GraphBuilder("gates", shapes)
    t, span = (g.input(name, ["rows", 1]) for name in ("t", "span"))
    c = g.input("c", [1, size.conditioning])
    newest = _normalised(g, g.input("o", [1, size.observation]))
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
            g.linear(newest, f"{name}.seen", bias=False),
        )
        x = _silu(g, g.linear(_silu(g, x), f"{name}.hidden"))
        rows = g.reshape(g.linear(x, f"{name}.output"), 1, -1, GATES, width)
        table = g.add(g.weight(f"{name}.table"), g.constant(np.array(SCALES, np.float32)[:, None]))
        whole = g.add(rows, g.reshape(table, size.depth, 1, GATES, width))
        whole = g.node("Transpose", whole, perm=[0, 2, 1, 3])
        count = size.depth * GATES
        g.output(expert, g.reshape(whole, count, -1, width), [count, "rows", width])
    g.output("anchor", _anchor(g, size, newest, c), [1, size.chunk, size.action])
    return g


def _anchor(g: GraphBuilder, size: WamSize, newest: str, c: str) -> str:
    """Newest observation (1, O), normalised, and c (1, C) -> (1, H, A)."""
    seen = _silu(g, g.linear(newest, "anchor.seen"))
    gain = g.add(g.linear(c, "anchor.gain"), g.floats(1.0))
    x = g.add(g.node("Mul", seen, gain), g.linear(c, "anchor.shift"))
    x = _silu(g, g.linear(_silu(g, g.linear(x, "anchor.first")), "anchor.second"))
    return g.reshape(g.linear(x, "anchor.output"), 1, size.chunk, size.action)


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
