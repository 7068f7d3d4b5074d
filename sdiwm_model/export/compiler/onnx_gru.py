"""The ONNX operator GRU, written as fully connected layers, gates and sums."""

from __future__ import annotations

import numpy as np
import onnx

from sdiwm_model.export.compiler.functions import sigmoid
from sdiwm_model.export.compiler.graph import Binary, Concat, Convolution, Floats, Slice, Unary
from sdiwm_model.export.compiler.onnx_builder import ROW, Builder, Reference
from sdiwm_model.export.compiler.onnx_graph import attributes

SATURATES = 8.0


def gru(builder: Builder, node: onnx.NodeProto) -> None:
    """Add a GRU over a sequence of known length, batch 1, one direction.

    h' = (1 - u) n + u h with u, r = sigmoid(W x + R h + b) and, as PyTorch has it
    (linear_before_reset = 1), n = tanh(W x + b + r (R h + c)); otherwise n = tanh(W x + b +
    R (r h) + c).
    """
    given = attributes(node)
    length, batch, width = builder.onnx.shape(node.input[0], node)
    weight, recurrent = (builder.constant(node, i) for i in (1, 2))
    directions, hidden = len(weight), recurrent.shape[2]
    default = [name.lower() for name in given.get("activations", [b"Sigmoid", b"Tanh"])]
    plain = [n if isinstance(n, str) else n.decode() for n in default] == ["sigmoid", "tanh"]
    if directions != 1 or given.get("direction", "forward") != "forward" or batch != 1:
        builder.onnx.refuse(node, "only one direction and batch 1 are supported")
    if not plain or given.get("clip") or (len(node.input) > 4 and node.input[4]):
        builder.onnx.refuse(node, "other activations, clip and sequence_lens are not supported")
    bias = builder.optional(node, 3, np.zeros((1, 6 * hidden)))[0]
    cell = _Cell(builder, node, weight[0], recurrent[0], bias, given)
    state = _initial_state(builder, node, hidden)
    sequence = builder.read(node, node.input[0]).value
    states = []
    for step in range(length):
        x = sequence
        if length > 1:
            x = cell.new(f"x{step}", width)
            builder.graph.nodes.append(Slice(x, sequence, x, step * width))
        state = cell.step(step, x, state)
        states.append(state)
    _outputs(builder, node, states, hidden)


def _initial_state(builder: Builder, node: onnx.NodeProto, hidden: int) -> str:
    if len(node.input) > 5 and node.input[5] and node.input[5] not in builder.constants:
        return builder.read(node, node.input[5]).value
    name = f"{node.output[0] or node.output[1]}.start"
    start = builder.optional(node, 5, np.zeros(hidden))
    builder.graph.constants[name] = start.reshape(1, 1, hidden)
    builder.graph.shapes[name] = (1, 1, hidden)
    return name


def _outputs(builder: Builder, node: onnx.NodeProto, states: list[str], hidden: int) -> None:
    if node.output[0]:
        if len(states) == 1:
            builder.references[node.output[0]] = Reference(states[0], ROW)
        else:
            output = builder.note(node.output[0], ROW, (1, 1, hidden * len(states)))
            builder.graph.nodes.append(Concat(output, tuple(states), output))
    if len(node.output) > 1 and node.output[1]:
        builder.references[node.output[1]] = Reference(states[-1], ROW)


class _Cell:
    """The layers of one step; rows of the ONNX weights are update, reset, candidate."""

    def __init__(
        self,
        builder: Builder,
        node: onnx.NodeProto,
        weight: Floats,
        recurrent: Floats,
        bias: Floats,
        given: dict[str, object],
    ) -> None:
        self.graph = builder.graph
        self.prefix = node.output[0] or node.output[1]
        self.hidden = hidden = recurrent.shape[1]
        self.reset_after = bool(given.get("linear_before_reset", 0))
        self.weight = np.split(weight, 3)
        self.recurrent = np.split(recurrent, 3)
        self.input_bias = np.split(bias[: 3 * hidden], 3)
        self.recurrent_bias = np.split(bias[3 * hidden :], 3)

    def new(self, name: str, width: int) -> str:
        """Declare a vector."""
        value = f"{self.prefix}.{name}"
        self.graph.shapes[value] = (1, 1, width)
        return value

    def step(self, step: int, x: str, state: str) -> str:
        """The state after input `x`."""
        both = self.new(f"both{step}", self.graph.shapes[x][2] + self.hidden)
        self.graph.nodes.append(Concat(both, (x, state), both))
        gates = [
            self._gate(
                f"{name}{step}", both, np.hstack([self.weight[i], self.recurrent[i]]),
                self.input_bias[i] + self.recurrent_bias[i],
            )
            for i, name in enumerate(("update", "reset"))
        ]  # fmt: skip
        candidate = self._candidate(step, x, state, gates[1])
        change = self._binary(f"change{step}", "sub", state, candidate)
        kept = self._binary(f"kept{step}", "mul", gates[0], change)
        return self._binary(f"state{step}", "add", candidate, kept)

    def _candidate(self, step: int, x: str, state: str, reset: str) -> str:
        inward = self._dense(f"inward{step}", x, self.weight[2], self.input_bias[2])
        if self.reset_after:
            memory = self._dense(f"memory{step}", state, self.recurrent[2], self.recurrent_bias[2])
            memory = self._binary(f"reset_memory{step}", "mul", reset, memory)
        else:
            kept = self._binary(f"reset_state{step}", "mul", reset, state)
            memory = self._dense(f"memory{step}", kept, self.recurrent[2], self.recurrent_bias[2])
        before = self._binary(f"before{step}", "add", inward, memory)
        after = self.new(f"candidate{step}", self.hidden)
        self.graph.nodes.append(Unary(after, before, after, np.tanh, SATURATES))
        return after

    def _gate(self, name: str, x: str, weight: Floats, bias: Floats) -> str:
        before = self._dense(f"{name}.before", x, weight, bias)
        after = self.new(name, self.hidden)
        self.graph.nodes.append(Unary(after, before, after, sigmoid, SATURATES))
        return after

    def _dense(self, name: str, x: str, weight: Floats, bias: Floats) -> str:
        output = self.new(name, len(weight))
        kernel = weight.reshape(len(weight), 1, 1, -1)
        self.graph.nodes.append(Convolution(output, x, output, kernel, bias))
        return output

    def _binary(self, name: str, kind: str, a: str, b: str) -> str:
        output = self.new(name, self.hidden)
        self.graph.nodes.append(Binary(output, kind, (a, b), output))
        return output
