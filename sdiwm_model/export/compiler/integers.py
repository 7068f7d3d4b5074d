"""The integer program in numpy: the definition that every kernel equals bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.compression.fixed_point import Integers, requantise
from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.graph import windows
from sdiwm_model.export.compiler.operators import LIMITS, Operator, Program, Tensor


def run(program: Program, inputs: Mapping[str, ArrayLike]) -> dict[str, Integers]:
    """Every tensor, int64 (height, width, channels), bytes as byte - 128.

    `inputs` hold integers of the inputs' types, in any shape with as many elements.
    """
    values: dict[str, Integers] = {}
    for name, tensor in program.tensors.items():
        if tensor.constant is not None:
            values[name] = tensor.constant.astype(np.int64)
    for name in program.inputs:
        tensor = program.tensors[name]
        x = np.asarray(inputs[name]).astype(np.int64).reshape(tensor.shape)
        values[name] = x - 128 if tensor.dtype == "uint8" else x
    for operator in program.operators:
        read = [values[name] for name in operator.inputs]
        values[operator.output] = apply(operator, read, program.tensors[operator.output])
    return values


def apply(operator: Operator, read: list[Integers], output: Tensor) -> Integers:
    """One operator: its inputs -> its output."""
    x = read[0]
    match operator:
        case op.Convolution():
            y = _convolution(operator, x, output.shape)
            return y if operator.table is None else _looked_up(operator.table, y)
        case op.Add():
            total = x * operator.multiplier_a + read[1] * operator.multiplier_b + operator.bias
            y = np.clip(total >> operator.shift, operator.low, operator.high)
            return y if operator.table is None else _looked_up(operator.table, y)
        case op.Multiply():
            product = (x - operator.zero_a) * (read[1] - operator.zero_b) + operator.rounding
            scaled = requantise(product, operator.shift, operator.multiplier) + operator.zero
            return np.clip(scaled, operator.low, operator.high)
        case op.Rescale():
            return _rescale(operator, read, output)
        case op.MaxPool():
            return windows(x, operator.window, output.shape[:2], -(1 << 40)).max(axis=(2, 3))
        case op.AveragePool():
            return _average(operator, x, output.shape)
        case op.GlobalAverage():
            total = x.sum(axis=(0, 1), keepdims=True) + operator.bias
            return requantise(total, operator.shift, operator.multiplier)
        case op.Lookup():
            return _looked_up(operator.table, x)
        case op.SpatialSoftmax():
            return _spatial_softmax(operator, x)
    raise TypeError(f"no integer definition of {type(operator).__name__}")


def _looked_up(table: NDArray[np.integer], x: Integers) -> Integers:
    entries = table.astype(np.int64)
    if len(entries) == 256:
        return entries[x + 128]
    segment, fraction = (x + 32768) >> 7, (x + 32768) & 127
    rise = entries[segment + 1] - entries[segment]
    return entries[segment] + ((rise * fraction + 64) >> 7)


def _convolution(c: op.Convolution, x: Integers, shape: tuple[int, int, int]) -> Integers:
    """Products in float64, which is exact: every sum stays below 2^53."""
    seen = windows(x.astype(np.float64), c.window, shape[:2], float(c.padding))
    weight = c.weight.astype(np.float64)
    if isinstance(c, op.Depthwise):
        sums = np.einsum("yxijc,ijc->yxc", seen, weight)
    else:
        sums = seen.reshape(*shape[:2], -1) @ weight.reshape(len(weight), -1).T
    total = sums.astype(np.int64) + c.bias
    return np.clip(requantise(total, c.shift, c.multiplier) + c.zero, c.low, c.high)


def _rescale(operator: op.Rescale, read: list[Integers], output: Tensor) -> Integers:
    y = np.zeros(output.shape, np.int64)
    for part, x in zip(operator.parts, read, strict=True):
        total = x[:, :, part.first : part.first + part.channels] * part.multiplier + part.bias
        y[:, :, part.to : part.to + part.channels] = total >> part.shift
    return np.clip(y, *LIMITS[output.dtype])


def _average(operator: op.AveragePool, x: Integers, shape: tuple[int, int, int]) -> Integers:
    fill = operator.padding if operator.count_padding else 0
    total = windows(x, operator.window, shape[:2], fill).sum(axis=(2, 3))
    counted = windows(np.ones_like(x), operator.window, shape[:2], int(operator.count_padding))
    count = counted.sum(axis=(2, 3))
    return (2 * total + count) // (2 * count)


def _spatial_softmax(operator: op.SpatialSoftmax, x: Integers) -> Integers:
    flat = x.reshape(-1, x.shape[2])
    exponent = ((flat.max(axis=0) - flat) * operator.step + 128) >> 8
    halvings = exponent >> 8
    weight = operator.exp2.astype(np.int64)[exponent & 255] >> np.minimum(halvings, 30)
    weight[halvings >= 15] = 0
    total = weight.sum(axis=0)[:, None]
    moved = weight.T @ (operator.grid.astype(np.int64) + 32768)
    return ((2 * moved + total) // (2 * total) - 32768).reshape(1, 1, -1)
