"""Operators -> the C++ constants and calls that run them, over whole rows or one strip of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.constants import Constants
from sdiwm_model.export.compiler.operators import LIMITS, VECTOR, Array, Operator, Program
from sdiwm_model.export.compiler.patches import Span

FIRST, LAST = "FIRST", "LAST"  # stand for the rows to be made


class Calls:
    """Writes calls; their constants are added to `constants`.

    Args:
        spans: columns of the tensors that are not whole.
        variable: name of a tensor in C++.
        scratch: where an operator's scratch memory begins.
        scratch_bytes: how large it is.
    """

    def __init__(
        self,
        program: Program,
        constants: Constants,
        spans: Mapping[str, Span],
        variable: Callable[[str], str],
        scratch: Callable[[Operator], int],
        scratch_bytes: Mapping[str, int],
    ) -> None:
        self.program, self.constants, self.spans = program, constants, spans
        self.variable = variable
        self._scratch = scratch
        self._scratch_bytes = scratch_bytes

    def of(self, operator: Operator) -> list[str]:
        """What makes the rows FIRST ... LAST - 1 of the operator's output."""
        match operator:
            case op.Depthwise():
                return [self._row_call("depthwise", self._layer(operator), operator, scratch=True)]
            case op.Convolution():
                kernel = "fully_connected" if self._single(operator) else "convolution"
                return [self._row_call(kernel, self._layer(operator), operator, scratch=True)]
            case op.MaxPool():
                return [self._row_call("max_pool", self._pool(operator, False, 0), operator)]
            case op.AveragePool():
                pool = self._pool(operator, operator.count_padding, operator.padding)
                return [self._row_call("average_pool", pool, operator)]
            case op.Add():
                return [self._elementwise("add", self._sum(operator), operator)]
            case op.Multiply():
                return [self._elementwise("multiply", self._product(operator), operator)]
            case op.Rescale():
                return [self._rescale(operator, part) for part in operator.parts]
            case op.Lookup():
                table, n = self.constants.array(operator.table), self._row_size(operator.output)
                x, y = self.variable(operator.inputs[0]), self.variable(operator.output)
                return [f"nn::lookup({table}, {x}, {y}, {n}, {FIRST}, {LAST});"]
            case op.GlobalAverage():
                return [self._global_average(operator)]
            case op.SpatialSoftmax():
                return [self._spatial_softmax(operator)]
        raise TypeError(f"no kernel for {type(operator).__name__}")

    def columns(self, tensor: str) -> Span:
        """The columns of a tensor that are worked on."""
        return self.spans.get(tensor, (0, self.program.tensors[tensor].shape[1]))

    def _width(self, tensor: str) -> int:
        first, last = self.columns(tensor)
        return last - first

    def _row_size(self, tensor: str) -> int:
        return self._width(tensor) * self.program.tensors[tensor].shape[2]

    def _struct(self, kind: str, operator: Operator, values: list[object]) -> str:
        return self.constants.struct(kind, operator.name, values)

    def _array(self, array: Array | None) -> str:
        return "nullptr" if array is None else self.constants.array(array)

    def _row_call(
        self, kernel: str, constants: str, operator: Operator, scratch: bool = False
    ) -> str:
        x, y = self.variable(operator.inputs[0]), self.variable(operator.output)
        memory = f", arena + {self._scratch(operator)}" if scratch else ""
        return f"nn::{kernel}({constants}, {x}, {y}, {FIRST}, {LAST}{memory});"

    def _window(self, operator: op.Windowed) -> str:
        """The window as seen from the first column of the strip."""
        w = operator.window
        inward, outward = self.columns(operator.inputs[0]), self.columns(operator.output)
        left = w.pad[1] + inward[0] - outward[0] * w.stride[1]
        numbers = (*w.kernel, *w.stride, w.pad[0], left, *w.dilation)
        return "{" + ", ".join(map(str, numbers)) + "}"

    def _single(self, operator: Operator) -> bool:
        return self.program.tensors[operator.output].shape[:2] == (1, 1)

    def _layer(self, operator: op.Convolution) -> str:
        """A `Layer`: what a depthwise or fully connected one does not use is 0."""
        shapes = self.program.shapes(operator)
        weight = operator.weight
        wide, places, apart, shared = "nullptr", 0, 0, False
        if isinstance(operator, op.Depthwise) or self._single(operator):
            array = self._array(_padded(weight))
        else:
            shared, apart = operator.shared, operator.apart
            places = operator.places(shapes, self._scratch_bytes[operator.name])
            array = self._array(_padded(weight.transpose(0, 2, 1, 3) if shared else weight))
            wide = f"nn::wide<{array}, {len(weight)}, {weight[0].size}>()"
        return self._struct("Layer", operator, [
            self._window(operator), self._width(operator.inputs[0]), shapes[0][2],
            self._width(operator.output), shapes[1][2],
            operator.padding, operator.zero, operator.low, operator.high, array, wide,
            self.constants.scales(operator.bias, operator.multiplier, operator.shift),
            self._array(operator.table), places, apart, int(shared),
        ])  # fmt: skip

    def _pool(self, operator: op.Windowed, counted: bool, padding: int) -> str:
        return self._struct("Pool", operator, [
            self._window(operator), self._width(operator.inputs[0]),
            self._width(operator.output), self.program.tensors[operator.output].shape[2],
            int(counted), padding,
        ])  # fmt: skip

    def _sum(self, operator: op.Add) -> str:
        return self._struct("Sum", operator, [
            operator.multiplier_a, operator.multiplier_b, operator.bias, operator.shift,
            operator.low, operator.high, self._array(operator.table),
        ])  # fmt: skip

    def _product(self, operator: op.Multiply) -> str:
        return self._struct("Product", operator, [
            operator.zero_a, operator.zero_b, operator.rounding, operator.shift,
            operator.multiplier, operator.zero, operator.low, operator.high,
        ])  # fmt: skip

    def _elementwise(self, kernel: str, constants: str, operator: Operator) -> str:
        a, b = (self._shifted(name, operator.output) for name in operator.inputs)
        _, second, result = self.program.shapes(operator)
        n = self._row_size(operator.output)
        period = result[2] if second[:2] == (1, 1) else n
        y = self.variable(operator.output)
        return f"nn::{kernel}({constants}, {a}, {b}, {period}, {y}, {n}, {FIRST}, {LAST});"

    def _shifted(self, source: str, output: str) -> str:
        """An input of an elementwise operator, from the output's first column on."""
        if source not in self.spans:
            return self.variable(source)
        columns = self.columns(output)[0] - self.columns(source)[0]
        skipped = columns * self.program.tensors[source].shape[2]
        variable = self.variable(source)
        return f"{variable}.from({skipped})" if skipped else variable

    def _rescale(self, operator: op.Rescale, part: op.Rescaling) -> str:
        output = self.program.tensors[operator.output]
        struct = self._struct("Rescaling", operator, [
            part.channels, part.multiplier, part.bias, part.shift, *LIMITS[output.dtype],
        ])  # fmt: skip
        inward = self.program.tensors[part.input].shape[2]
        x, y = self._shifted(part.input, operator.output), self.variable(operator.output)
        return (
            f"nn::rescale({struct}, {x}, {part.first}, {inward}, {y}, {part.to}, "
            f"{output.shape[2]}, {self._width(operator.output)}, {FIRST}, {LAST});"
        )

    def _global_average(self, operator: op.GlobalAverage) -> str:
        mean = self._struct("Mean", operator, [
            operator.bias, operator.shift, operator.multiplier,
        ])  # fmt: skip
        height, width, channels = self.program.tensors[operator.inputs[0]].shape
        x, y = self.variable(operator.inputs[0]), self.variable(operator.output)
        sums = f"reinterpret_cast<int32_t*>(arena + {self._scratch(operator)})"
        return (
            f"nn::global_average({mean}, {x}.base, {height * width}, {channels}, {sums}, {y}.base);"
        )

    def _spatial_softmax(self, operator: op.SpatialSoftmax) -> str:
        grid = (operator.grid.T.astype(np.int32) + 32768).astype(np.uint16)
        softmax = self._struct("SpatialSoftmax", operator, [
            len(operator.grid), len(operator.step), operator.grid.shape[1],
            self._array(operator.step), self._array(grid), self._array(operator.exp2),
        ])  # fmt: skip
        x, y = self.variable(operator.inputs[0]), self.variable(operator.output)
        scratch = f"arena + {self._scratch(operator)}"
        return f"nn::spatial_softmax({softmax}, {x}.base, {scratch}, {y}.base);"


def _padded(weight: Array) -> Array:
    """Weights with a vector of zeros behind them: kernels read whole vectors of the last row."""
    return np.concatenate([weight.ravel(), np.zeros(VECTOR, np.int8)])
