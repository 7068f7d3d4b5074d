"""Graph and ranges -> integer program.

Pictures (any height or width above 1) are int8 with a zero point, vectors int16 in units that are
powers of two; weights are int8 with one unit an output channel. Recurrent states are vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import requantisation, rounding
from sdiwm_model.compression.tables import exp2_table
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import operators as integer
from sdiwm_model.export.compiler.calibrate import Ranges
from sdiwm_model.export.compiler.graph import (
    INFINITY,
    POINTWISE,
    Binary,
    Concat,
    Convolution,
    Floats,
    GlobalAverage,
    Graph,
    Node,
    Pool,
    Slice,
    SpatialSoftmax,
    Unary,
)
from sdiwm_model.export.compiler.operators import LIMITS, Operator, Program, Rescaling, Tensor
from sdiwm_model.export.compiler.scaling import (
    LARGEST_SUM,
    WEIGHT_BITS_8,
    WEIGHT_BITS_16,
    addition,
    power_of_two_above,
    quantise_rows,
)

HEADROOM = 2.0  # of vectors; `requantise` may saturate at half of the 16-bit range
MOST_TAPS = 64  # rows of a window; places of a depthwise window (kMostRows of the kernels)
LOOKUP_STEP = 128  # integers between two entries of a 16-bit table


def quantise(graph: Graph, ranges: Ranges) -> Program:
    """Make the integers of every node.

    Raises:
        SdiwmError: a value without a range, or sums that no 32 bits can hold.
    """
    return _Quantiser(graph, ranges).run()


class _Quantiser:
    def __init__(self, graph: Graph, ranges: Ranges) -> None:
        self.graph, self.ranges = graph, ranges
        self.program = Program(graph.name)
        self.tensors = self.program.tensors

    def run(self) -> Program:
        graph, program = self.graph, self.program
        for entry in graph.inputs:
            if entry.is_bytes:
                shape = graph.shapes[entry.name]
                zero = entry.zero - 128
                program.tensors[entry.name] = Tensor(entry.name, shape, "uint8", entry.scale, zero)
            else:
                self._tensor(entry.name)
        for name, value in graph.constants.items():
            self._constant(name, value)
        for node in graph.nodes:
            self._add(node)
        program.inputs = [entry.name for entry in graph.inputs]
        program.outputs, program.output_names = list(graph.outputs), list(graph.output_names)
        _fuse_tables(program)
        return program

    # Tensors

    def _range(self, name: str) -> tuple[float, float]:
        if name not in self.ranges.values:
            raise SdiwmError(f"the ranges have no entry for '{name}': they are of another network")
        return self.ranges.values[name]

    def _tensor(self, name: str, finest: float = 0.0) -> Tensor:
        """Choose the unit of a value, no finer than `finest`."""
        low, high = self._range(name)
        saturates, exact = self._saturation(name)
        low, high = max(low, -saturates), min(high, saturates)
        shape = self.graph.shapes[name]
        if shape[:2] == (1, 1):
            reach = exact or HEADROOM * max(-low, high, 1e-6)
            if saturates < INFINITY:
                reach = 2 * saturates
            unit = max(power_of_two_above(reach / 32768), finest and power_of_two_above(finest))
            tensor = Tensor(name, shape, "int16", unit)
        else:
            low, high = min(low, 0.0), max(high, 0.0)
            scale = max((high - low) / 255, finest, 1e-9)
            zero = int(np.clip(np.rint(-128 - low / scale), -128, 127))
            tensor = Tensor(name, shape, "int8", scale, zero)
        self.tensors[name] = tensor
        return tensor

    def _saturation(self, name: str) -> tuple[float, float]:
        """(magnitude beyond which all readers are constant, largest magnitude possible or 0)."""
        readers = self.graph.consumers(name)
        unary = [node for node in readers if isinstance(node, Unary)]
        saturates = INFINITY
        if unary and len(unary) == len(readers) and name not in self.graph.outputs:
            saturates = max(node.saturates for node in unary)
        producer = self.graph.producer(name)
        if isinstance(producer, Unary) and producer.saturates < INFINITY:
            return saturates, 1.0
        return saturates, 0.0

    def _constant(self, name: str, value: Floats) -> None:
        tensor = self._tensor(name)
        limits = LIMITS[tensor.dtype]
        integers = np.clip(np.rint(value / tensor.scale) + tensor.zero, *limits)
        self.tensors[name] = Tensor(
            name, tensor.shape, tensor.dtype, tensor.scale, tensor.zero,
            integers.astype(tensor.dtype),
        )  # fmt: skip

    # Nodes

    def _add(self, node: Node) -> None:
        makers: dict[type, Callable[..., Operator]] = {
            Convolution: self._convolution,
            Unary: self._lookup,
            Binary: self._binary,
            Concat: self._concat,
            Slice: self._slice,
            Pool: self._pool,
            GlobalAverage: self._global_average,
            SpatialSoftmax: self._spatial_softmax,
        }
        self.program.operators.append(makers[type(node)](node))

    def _limits(self, node: Convolution | Binary, output: Tensor) -> tuple[int, int]:
        """Clip bounds in the output's integers (those of its first channel)."""
        least, most = LIMITS[output.dtype]
        if np.ndim(output.scale):
            return least, most
        bounds = np.array([node.low, node.high]) / output.scale + output.zero
        low, high = np.clip(np.rint(np.clip(bounds, -1e6, 1e6)), least, most)
        return int(low), int(high)

    def _convolution(self, node: Convolution) -> Operator:
        x = self.tensors[node.input]
        if np.ndim(x.scale):
            raise SdiwmError(f"node '{node.name}' reads maps that a spatial softmax reads too")
        depthwise = node.groups > 1
        taps = node.window.kernel[0] * (node.window.kernel[1] if depthwise else 1)
        if taps > MOST_TAPS:
            raise SdiwmError(f"node '{node.name}': its window is larger than {MOST_TAPS}")
        if x.dtype == "int16" and node.window != POINTWISE:
            raise SdiwmError(f"node '{node.name}' makes a picture of a vector")
        flat = node.weight.reshape(len(node.weight), -1)
        largest = max(abs(bound - float(x.zero)) for bound in LIMITS[x.dtype])
        weight, unit, bias = quantise_rows(flat * x.scale, node.bias, largest)
        output = self._convolution_output(node, float(unit.max()))
        bits = WEIGHT_BITS_8 if output.dtype == "int8" else WEIGHT_BITS_16
        multiplier, shift = requantisation(unit / output.scale, bits)
        offset = np.rint(float(x.zero) * weight.astype(np.float64).sum(axis=1)).astype(np.int64)
        kernel = weight.reshape(node.weight.shape)
        low, high = self._limits(node, output)
        zero = self._per_channel_zero(output, unit, bias)
        return (integer.Depthwise if depthwise else integer.Convolution)(
            node.name, (node.input,), node.output, node.window,
            weight=kernel[..., 0].transpose(1, 2, 0).copy() if depthwise else kernel,
            bias=(bias - offset + rounding(shift)).astype(np.int32),
            shift=shift, multiplier=multiplier, padding=int(np.rint(x.zero)),
            zero=zero, low=low, high=high,
        )  # fmt: skip

    def _convolution_output(self, node: Convolution, finest: float) -> Tensor:
        """The output's tensor; one unit a channel where only a spatial softmax reads it."""
        reader = self.graph.only_consumer(node.output)
        clipped = (node.low, node.high) != (-INFINITY, INFINITY)
        if isinstance(reader, SpatialSoftmax) and not clipped:
            limits = np.array(self.ranges.maps[node.output])
            scale = np.maximum((limits[:, 1] - limits[:, 0]) / 255, finest)
            tensor = Tensor(
                node.output, self.graph.shapes[node.output], "int8", scale,
                127 - limits[:, 1] / scale,
            )  # fmt: skip
            self.tensors[node.output] = tensor
            return tensor
        return self._tensor(node.output, finest)

    def _per_channel_zero(
        self, output: Tensor, unit: NDArray[np.float64], bias: NDArray[np.int64]
    ) -> int:
        """The output's zero; where it is one a channel, it moves into the bias."""
        if not np.ndim(output.scale):
            return int(output.zero)
        bias += np.rint(output.zero * output.scale / unit).astype(np.int64)
        if np.abs(bias).max() > LARGEST_SUM / 2:
            raise SdiwmError(f"'{output.name}': its ranges do not fit its weights")
        return 0

    def _lookup(self, node: Unary) -> Operator:
        x, output = self.tensors[node.input], self._tensor(node.output)
        limits = LIMITS[output.dtype]
        if x.dtype == "int16":
            at = np.arange(-32768, 32769, LOOKUP_STEP)
        else:
            at = np.arange(-128, 128)
        y = node.function((at - x.zero) * x.scale) / output.scale + output.zero
        table = np.clip(np.rint(y), *limits).astype(output.dtype)
        return integer.Lookup(node.name, (node.input,), node.output, table)

    def _binary(self, node: Binary) -> Operator:
        a, b = (self.tensors[name] for name in node.inputs)
        if node.kind == "mul":
            return self._multiply(node, a, b)
        sign = 1.0 if node.kind == "add" else -1.0
        finest = max(float(a.scale), float(b.scale)) / (1 << 14)
        output = self._tensor(node.output, finest)
        ratios = [float(a.scale / output.scale), sign * float(b.scale / output.scale)]
        (first, second), shift = addition(ratios)
        bias = (int(output.zero) << shift) + int(rounding(shift))
        bias -= int(np.rint(first * float(a.zero) + second * float(b.zero)))
        low, high = self._limits(node, output)
        return integer.Add(
            node.name, node.inputs, node.output, first, second, bias, shift, low, high
        )

    def _multiply(self, node: Binary, a: Tensor, b: Tensor) -> Operator:
        unit = float(a.scale) * float(b.scale)
        output = self._tensor(node.output, unit)
        bits = WEIGHT_BITS_8 if output.dtype == "int8" else WEIGHT_BITS_16
        multiplier, shift = requantisation(unit / output.scale, bits)
        low, high = self._limits(node, output)
        return integer.Multiply(
            node.name, node.inputs, node.output, round(float(a.zero)), round(float(b.zero)),
            int(rounding(shift)), int(shift), int(multiplier), int(output.zero), low, high,
        )  # fmt: skip

    def _rescaling(
        self, x: Tensor, output: Tensor, first: int, to: int, channels: int
    ) -> Rescaling:
        (multiplier,), shift = addition([float(x.scale / output.scale)])
        bias = (int(output.zero) << shift) + int(rounding(shift))
        bias -= int(np.rint(multiplier * float(x.zero)))
        return Rescaling(x.name, first, to, channels, multiplier, bias, shift)

    def _concat(self, node: Concat) -> Operator:
        inputs = [self.tensors[name] for name in node.inputs]
        output = self._tensor(node.output, max(float(x.scale) for x in inputs) / (1 << 14))
        parts, to = [], 0
        for x in inputs:
            parts.append(self._rescaling(x, output, 0, to, x.shape[2]))
            to += x.shape[2]
        return integer.Rescale(node.name, node.inputs, node.output, tuple(parts))

    def _slice(self, node: Slice) -> Operator:
        x = self.tensors[node.input]
        shape = self.graph.shapes[node.output]
        output = Tensor(node.output, shape, x.dtype, x.scale, x.zero)
        self.tensors[node.output] = output
        part = Rescaling(node.input, node.first, 0, shape[2], 1, 0, 0)
        return integer.Rescale(node.name, (node.input,), node.output, (part,))

    def _pool(self, node: Pool) -> Operator:
        x = self.tensors[node.input]
        shape = self.graph.shapes[node.output]
        self.tensors[node.output] = Tensor(node.output, shape, x.dtype, x.scale, x.zero)
        common = (node.name, (node.input,), node.output, node.window)
        if node.kind == "max":
            return integer.MaxPool(*common)
        return integer.AveragePool(*common, node.count_padding, int(np.rint(x.zero)))

    def _global_average(self, node: GlobalAverage) -> Operator:
        x = self.tensors[node.input]
        height, width, _ = x.shape
        unit = float(x.scale) / (height * width)
        output = self._tensor(node.output, unit)
        multiplier, shift = requantisation(unit / output.scale, WEIGHT_BITS_16)
        bias = int(rounding(shift)) - int(np.rint(height * width * float(x.zero)))
        return integer.GlobalAverage(
            node.name, (node.input,), node.output, bias, int(shift), int(multiplier)
        )

    def _spatial_softmax(self, node: SpatialSoftmax) -> Operator:
        x = self.tensors[node.input]
        unit = power_of_two_above(np.abs(node.grid).max() / 32768)
        shape = self.graph.shapes[node.output]
        self.tensors[node.output] = Tensor(node.output, shape, "int16", unit)
        scale = np.broadcast_to(np.asarray(x.scale), x.shape[2])
        step = np.rint(scale / np.log(2) * 65536).astype(np.int64)
        grid = np.clip(np.rint(node.grid / unit), -32768, 32767).astype(np.int16)
        return integer.SpatialSoftmax(
            node.name, (node.input,), node.output, np.minimum(step, 1 << 22).astype(np.int32),
            grid, exp2_table(),
        )  # fmt: skip


def _fuse_tables(program: Program) -> None:
    """A table that alone reads an 8-bit convolution or sum is applied where that is made."""
    for lookup in [op for op in program.operators if isinstance(op, integer.Lookup)]:
        name = lookup.inputs[0]
        readers = [op for op in program.operators if name in op.inputs]
        maker = next((op for op in program.operators if op.output == name), None)
        fits = isinstance(maker, integer.Convolution | integer.Add) and maker.table is None
        if lookup.table.dtype != np.int8 or len(readers) > 1 or name in program.outputs or not fits:
            continue
        if program.tensors[name].dtype != "int8":
            continue
        assert isinstance(maker, integer.Convolution | integer.Add)
        fused = replace(maker, output=lookup.output, table=lookup.table)
        program.operators[program.operators.index(maker)] = fused
        program.operators.remove(lookup)
        del program.tensors[name]
