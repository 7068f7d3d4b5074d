"""A network before quantisation: float nodes over values of shape (height, width, channels).

Every value has batch 1 and channels last; a vector of n numbers is (1, 1, n). Nodes are listed in
an order in which they can be run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]
INFINITY = float("inf")


@dataclass(frozen=True)
class Window:
    """Which places of the input one place of the output sees, along both axes (y, x).

    Row y of the output sees the `kernel` rows from y * stride - pad on, `dilation` apart. What
    lies outside the input is padding, below and to the right as much as the output asks for.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from the first place seen to the last."""
        return (
            (self.kernel[0] - 1) * self.dilation[0] + 1,
            (self.kernel[1] - 1) * self.dilation[1] + 1,
        )


POINTWISE = Window((1, 1))


@dataclass(frozen=True, eq=False)
class Convolution:
    """output[o] = clip(sum over the window of weight * input + bias, low, high).

    weight (O, kh, kw, I / groups), bias (O,). Fully connected layers, folded normalisation and
    gains per channel are convolutions too.
    """

    name: str
    input: str
    output: str
    weight: Floats
    bias: Floats
    window: Window = POINTWISE
    groups: int = 1
    low: float = -INFINITY
    high: float = INFINITY

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Unary:
    """output = function(input), element by element."""

    name: str
    input: str
    output: str
    function: Callable[[Floats], Floats]
    saturates: float = INFINITY  # beyond this magnitude of the input the output stays the same

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Binary:
    """output = clip(a + b, a - b or a * b, low, high); b may be one number a channel."""

    name: str
    kind: str  # "add", "sub", "mul"
    inputs: tuple[str, str]
    output: str
    low: float = -INFINITY
    high: float = INFINITY


@dataclass(frozen=True, eq=False)
class Concat:
    """Channels of all inputs, side by side."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Slice:
    """Channels first ... first + channels(output) of the input."""

    name: str
    input: str
    output: str
    first: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Pool:
    """Largest value or mean of each channel over a window."""

    name: str
    kind: str  # "max", "average"
    input: str
    output: str
    window: Window
    count_padding: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class GlobalAverage:
    """Mean of each channel."""

    name: str
    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class SpatialSoftmax:
    """Expected coordinates of each channel: softmax over all places, times grid (H * W, G).

    Output (1, 1, C * G), coordinate after coordinate of the same channel.
    """

    name: str
    input: str
    output: str
    grid: Floats

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        return (self.input,)


Node = Convolution | Unary | Binary | Concat | Slice | Pool | GlobalAverage | SpatialSoftmax


@dataclass
class Input:
    """An input of the network: bytes (`scale` and `zero` make them real numbers) or reals."""

    name: str
    is_bytes: bool
    scale: float = 1.0
    zero: float = 0.0


@dataclass
class Graph:
    """Nodes, the shape of every value, and values known beforehand.

    outputs        values that are results
    output_names   what the ONNX file calls them
    ranges         value -> (low, high) that the file itself gives: it is quantised already
    """

    name: str
    inputs: list[Input] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, Floats] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def consumers(self, value: str) -> list[Node]:
        """Nodes that read `value`."""
        return [node for node in self.nodes if value in node.inputs]

    def only_consumer(self, value: str) -> Node | None:
        """The one node that reads `value`, None if there are others or it is an output."""
        found = self.consumers(value)
        return found[0] if len(found) == 1 and value not in self.outputs else None

    def producer(self, value: str) -> Node | None:
        """The node that makes `value`, None for inputs and constants."""
        return next((node for node in self.nodes if node.output == value), None)


def windows(x: NDArray[Any], window: Window, out: tuple[int, int], fill: Any) -> NDArray[Any]:
    """What each place of the output sees: x (H, W, C) -> (out H, out W, kh, kw, C).

    `fill`, one value or one a channel, stands for padding.
    """
    height, width, channels = x.shape
    (top, left), (sy, sx), (dy, dx) = window.pad, window.stride, window.dilation
    ey, ex = window.extent
    rows = max((out[0] - 1) * sy + ey, top + height)
    columns = max((out[1] - 1) * sx + ex, left + width)
    padded = np.empty((rows, columns, channels), x.dtype)
    padded[:] = fill
    padded[top : top + height, left : left + width] = x
    seen = np.lib.stride_tricks.sliding_window_view(padded, (ey, ex), (0, 1))
    seen = seen[: (out[0] - 1) * sy + 1 : sy, : (out[1] - 1) * sx + 1 : sx, :, ::dy, ::dx]
    return seen.transpose(0, 1, 3, 4, 2)
