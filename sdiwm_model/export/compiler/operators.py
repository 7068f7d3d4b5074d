"""A quantised network: tensors of integers and the operators that the kernels have.

Every operator is defined by `integers.py`. A tensor of bytes is seen as byte - 128. Real numbers
are scale * (integer - zero).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.export.compiler.graph import Shape, Window

BYTES = {"uint8": 1, "int8": 1, "int16": 2}
LIMITS = {"uint8": (-128, 127), "int8": (-128, 127), "int16": (-32768, 32767)}
VECTOR = 16  # bytes that the widest kernel reads at a time
SUMS = 8  # output channels whose sums are in memory at a time
MOST_COLUMNS = 10240  # bytes beyond which a convolution gains nothing from more scratch memory
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value in memory, (height, width, channels), channels fastest.

    scale    the unit, a float; (channels,) of them for the maps of a spatial softmax
    zero     the integer of 0.0; between two integers for some pictures; as many as units
    """

    name: str
    shape: Shape
    dtype: str
    scale: Any
    zero: Any = 0.0
    constant: Array | None = None

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return int(np.prod(self.shape)) * BYTES[self.dtype]

    @property
    def row_bytes(self) -> int:
        """Memory of one row."""
        return self.bytes // self.shape[0]

    @property
    def c_type(self) -> str:
        """The type of its elements in C++."""
        return f"{self.dtype}_t"


@dataclass(frozen=True, eq=False)
class Operator:
    """What all operators have; rows of the output are made in order."""

    name: str
    inputs: tuple[str, ...]
    output: str

    def seen_rows(self, row: int, heights: list[int]) -> list[range]:
        """For each input, the rows (within its height) that output row `row` is made of."""
        return [range(row, row + 1) if height > 1 else range(1) for height in heights]

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for an output of `shape`."""
        return 0

    def arrays(self) -> dict[str, Array]:
        """Constants that go to flash, by field name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def scratch(self, shapes: list[Shape]) -> int:
        """Bytes of memory needed while it runs, for any kernel; `shapes`: inputs, then output."""
        return 0

    def most_scratch(self, shapes: list[Shape]) -> int:
        """Bytes of memory with which it runs fastest."""
        return self.scratch(shapes)


@dataclass(frozen=True, eq=False)
class Windowed(Operator):
    """An operator whose output place sees a window of its one input."""

    window: Window

    def seen_rows(self, row: int, heights: list[int]) -> list[range]:
        """The window's rows, padding left out."""
        first = row * self.window.stride[0] - self.window.pad[0]
        last = first + self.window.extent[0]
        return [range(min(max(first, 0), heights[0]), max(min(last, heights[0]), 0))]


@dataclass(frozen=True, eq=False)
class Convolution(Windowed):
    """clip(requantise(weight . (window of input) + bias, shift, multiplier) + zero, low, high).

    weight int8 (O, kh, kw, I), bias int32 (O,), shift int16 (O,), multiplier int16 (O,); `padding`
    is the integer outside the picture. `table` int8 (256,) then replaces each integer i by
    table[i + 128].
    """

    weight: Array
    bias: Array
    shift: Array
    multiplier: Array
    padding: int
    zero: int
    low: int
    high: int
    table: Array | None = None

    def macs(self, shape: Shape) -> int:
        """One for each weight and place."""
        return shape[0] * shape[1] * self.weight.size

    @property
    def shared(self) -> bool:
        """Whether windows lie in memory as columns of pixels, which neighbours share."""
        _, height, width, channels = self.weight.shape
        step = self.window.stride[1]
        overlap = self.window.dilation[1] == 1 and step < width and channels % 4 == 0
        return overlap and height * width * channels > VECTOR

    @property
    def apart(self) -> int:
        """Elements in memory from one window to that of the next place."""
        _, height, width, channels = self.weight.shape
        if self.shared:
            return self.window.stride[1] * height * channels
        return -(-height * width * channels // VECTOR) * VECTOR

    def window_bytes(self, places: int) -> int:
        """Memory for the windows of so many places, as kernels/nn/dsp and mve lay them out."""
        _, height, width, channels = self.weight.shape
        last = height * width * channels if self.shared else self.apart
        in_threes, in_twos = -(-places // 3) * 3, -(-places // 2) * 2
        wide = 2 * ((in_threes - 1) * self.apart + last) + 16
        narrow = in_twos * (self.apart + 4 * SUMS) + last + 3 * VECTOR
        return max(wide, narrow)

    def places(self, shapes: list[Shape], scratch: int) -> int:
        """How many places' windows `scratch` bytes hold, up to a whole row."""
        width = shapes[1][1]
        return max(n for n in range(1, width + 1) if n == 1 or self.window_bytes(n) <= scratch)

    def scratch(self, shapes: list[Shape]) -> int:
        """Windows of three places, which are summed at a time; a single one in 16 bits."""
        if shapes[1][:2] == (1, 1):
            return 2 * int(self.weight[0].size) + VECTOR
        return self.window_bytes(min(3, shapes[1][1]))

    def most_scratch(self, shapes: list[Shape]) -> int:
        """The same for a whole row, or what fits into MOST_COLUMNS."""
        least = self.scratch(shapes)
        if shapes[1][:2] == (1, 1):
            return least
        return max(min(self.window_bytes(shapes[1][1]), MOST_COLUMNS), least)


@dataclass(frozen=True, eq=False)
class Depthwise(Convolution):
    """The same with one input channel for each output channel: weight (kh, kw, C)."""

    def scratch(self, shapes: list[Shape]) -> int:
        """One place of padding."""
        return shapes[0][2] + 16

    def most_scratch(self, shapes: list[Shape]) -> int:
        """No more than it needs."""
        return self.scratch(shapes)


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """clip((a * multiplier_a + b * multiplier_b + bias) >> shift, low, high), then the table.

    b may be one place only, which is added to every place of a.
    """

    multiplier_a: int
    multiplier_b: int
    bias: int
    shift: int
    low: int
    high: int
    table: Array | None = None


@dataclass(frozen=True, eq=False)
class Multiply(Operator):
    """clip(requantise((a - zero_a)(b - zero_b) + rounding, shift, multiplier) + zero, low, high).

    b may be one place only, which is multiplied with every place of a.
    """

    zero_a: int
    zero_b: int
    rounding: int
    shift: int
    multiplier: int
    zero: int
    low: int
    high: int


@dataclass(frozen=True)
class Rescaling:
    """channels of one input from `first` on -> output from channel `to` on.

    clip((x * multiplier + bias) >> shift) to the range of the output's type.
    """

    input: str
    first: int
    to: int
    channels: int
    multiplier: int
    bias: int
    shift: int


@dataclass(frozen=True, eq=False)
class Rescale(Operator):
    """Channels of the inputs brought into one unit, side by side: Concat, Split, change of unit."""

    parts: tuple[Rescaling, ...]


@dataclass(frozen=True, eq=False)
class MaxPool(Windowed):
    """Largest integer of each channel over the window; padding does not count."""


@dataclass(frozen=True, eq=False)
class AveragePool(Windowed):
    """Mean over the window, half rounded up.

    Padding does not count, or counts as the integer of 0.0.
    """

    count_padding: bool
    padding: int


@dataclass(frozen=True, eq=False)
class GlobalAverage(Operator):
    """requantise(sum over all places + bias, shift, multiplier): int8 -> int16."""

    bias: int
    shift: int
    multiplier: int

    def seen_rows(self, row: int, heights: list[int]) -> list[range]:
        """All rows."""
        return [range(heights[0])]

    def scratch(self, shapes: list[Shape]) -> int:
        """The sums."""
        return 4 * shapes[0][2]


@dataclass(frozen=True, eq=False)
class Lookup(Operator):
    """int8: table[x + 128]. int16: linear between the 513 entries, 128 apart, half rounded up."""

    table: Array


@dataclass(frozen=True, eq=False)
class SpatialSoftmax(Operator):
    """Expected grid coordinates of each channel of an int8 map.

    With d = max - x, e = (d * step[c] + 128) >> 8, a place weighs exp2[e % 256] >> (e / 256), or
    nothing beyond 15 halvings; the output is the weighted mean of grid int16 (H * W, G), half
    rounded up, coordinate after coordinate of the same channel.
    """

    step: Array
    grid: Array
    exp2: Array

    def seen_rows(self, row: int, heights: list[int]) -> list[range]:
        """All rows."""
        return [range(heights[0])]

    def macs(self, shape: Shape) -> int:
        """Weight times each coordinate."""
        return int(self.grid.size) * len(self.step)

    def scratch(self, shapes: list[Shape]) -> int:
        """The largest number of each channel, and a weight for each difference from it."""
        return -(-len(self.step) // VECTOR) * VECTOR + 2 * 256


@dataclass
class Program:
    """Operators in order, every tensor by name, and what results are called outside."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)

    def shapes(self, operator: Operator) -> list[Shape]:
        """Shapes of the inputs, then of the output."""
        return [self.tensors[n].shape for n in (*operator.inputs, operator.output)]

    def macs(self, operator: Operator) -> int:
        """Multiply-accumulates of one operator."""
        return operator.macs(self.tensors[operator.output].shape)
