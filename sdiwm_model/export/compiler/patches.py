"""Patch-based execution: the early layers run patch by patch, so that no large layer is ever whole.

A patch is one row of a vertical strip of the stage's last layer. Receptive-field arithmetic gives
the rows and columns of every earlier layer that it needs. Rows that the next patch needs again (the
halo above) stay in memory; columns that two strips need (the halo beside) are computed twice. With
one strip nothing is. The integers are those of layer-by-layer execution.

Lin et al., "MCUNetV2: Memory-Efficient Patch-based Inference for Tiny Deep Learning" (2021),
recompute the halo on all sides.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.operators import Operator, Program

ROW_BY_ROW = (
    op.Convolution,
    op.Add,
    op.Multiply,
    op.Rescale,
    op.MaxPool,
    op.AveragePool,
    op.Lookup,
)
Span = tuple[int, int]  # columns, the end left out


@dataclass(frozen=True)
class Stage:
    """The first `length` operators of a program, run patch by patch.

    order     of every strip: what makes its next row, in turn; -1 for the network's picture
    results   tensors that are read after the stage, or are outputs
    births    tensor -> when each of its rows is made, an index into `order`
    deaths    tensor -> when each is read for the last time
    spans     for every strip: tensor -> its columns
    """

    length: int
    order: tuple[int, ...]
    results: frozenset[str]
    births: dict[str, list[int]]
    deaths: dict[str, list[int]]
    spans: tuple[dict[str, Span], ...]

    def rows(self, name: str) -> int:
        """Rows of a tensor that are in memory at a time; all of them for results."""
        births, deaths = self.births[name], self.deaths[name]
        if name in self.results:
            return len(births)
        oldest, most = 0, 1
        for newest, time in enumerate(births):
            while oldest < newest and deaths[oldest] < time:
                oldest += 1
            most = max(most, newest - oldest + 1)
        return most

    def width(self, program: Program, name: str) -> int:
        """Columns of a tensor that are in memory at a time; all of them for results."""
        if name in self.results:
            return program.tensors[name].shape[1]
        return max(spans[name][1] - spans[name][0] for spans in self.spans)

    def macs(self, program: Program) -> int:
        """Multiply-accumulates of the stage, halos included."""
        total = 0
        for operator in program.operators[: self.length]:
            height, _, channels = program.tensors[operator.output].shape
            for spans in self.spans:
                first, last = spans[operator.output]
                total += operator.macs((height, last - first, channels))
        return total


def possible_lengths(program: Program) -> list[int]:
    """How many of the first operators can be run patch by patch, from 1 up; none for vectors."""
    lengths: list[int] = []
    pictures = [n for n in program.inputs if program.tensors[n].shape[0] > 1]
    if len(pictures) != 1 or len(program.inputs) != 1:
        return lengths
    made = set(pictures)
    for index, operator in enumerate(program.operators):
        height = program.tensors[operator.output].shape[0]
        known = all(n in made or program.tensors[n].constant is not None for n in operator.inputs)
        if not isinstance(operator, ROW_BY_ROW) or height < 2 or not known or index > 250:
            break
        made.add(operator.output)
        lengths.append(index + 1)
    return lengths


def stage(program: Program, length: int, strips: int = 1) -> Stage:
    """The first `length` operators over `strips` strips."""
    order = _Order(program, length)
    order.run()
    spans = tuple(_spans(program, length, order.results, s, strips) for s in range(strips))
    return Stage(
        length, tuple(order.steps), frozenset(order.results), order.births, order.deaths, spans
    )


def _spans(
    program: Program, length: int, results: set[str], strip: int, strips: int
) -> dict[str, Span]:
    """Columns of every tensor that one strip of the results needs."""
    operators = program.operators[:length]
    spans: dict[str, Span] = {}
    for name in (*results, operators[-1].output):
        width = program.tensors[name].shape[1]
        spans[name] = (width * strip // strips, width * (strip + 1) // strips)
    for operator in reversed(operators):
        for name in operator.inputs:
            width = program.tensors[name].shape[1]
            if width > 1:
                seen = _seen_columns(operator, spans[operator.output], width)
                before = spans.get(name, seen)
                spans[name] = (min(before[0], seen[0]), max(before[1], seen[1]))
    return spans


def _seen_columns(operator: Operator, span: Span, width: int) -> Span:
    if not isinstance(operator, op.Windowed):
        return span
    window = operator.window
    first = span[0] * window.stride[1] - window.pad[1]
    last = (span[1] - 1) * window.stride[1] - window.pad[1] + window.extent[1]
    first = min(max(first, 0), width - 1)
    return first, max(min(last, width), first + 1)


class _Order:
    """Makes rows on demand: before a row, those that it sees."""

    def __init__(self, program: Program, length: int) -> None:
        self.program = program
        self.operators = program.operators[:length]
        self.makers = {operator.output: i for i, operator in enumerate(self.operators)}
        self.picture = program.inputs[0]
        names = [self.picture, *self.makers]
        later = {name for operator in program.operators[length:] for name in operator.inputs}
        self.results = {n for n in names if n in later or n in program.outputs}
        self.steps: list[int] = []
        self.births: dict[str, list[int]] = {name: [] for name in names}
        self.deaths: dict[str, list[int]] = {name: [] for name in names}

    def run(self) -> None:
        final = self.operators[-1].output
        for name in (final, *sorted(self.results)):
            self._demand(name, self.program.tensors[name].shape[0])

    def _demand(self, name: str, count: int) -> None:
        """Have the first `count` rows of a tensor made."""
        while len(self.births[name]) < count:
            if name == self.picture:
                self._made(name, -1)
                continue
            operator = self.operators[self.makers[name]]
            seen = self._seen(operator, len(self.births[name]))
            for source, rows in seen.items():
                self._demand(source, rows.stop)
            for source, rows in seen.items():
                for row in rows:
                    self.deaths[source][row] = len(self.steps)
            self._made(name, self.makers[name])

    def _seen(self, operator: Operator, row: int) -> dict[str, range]:
        heights = [self.program.tensors[n].shape[0] for n in operator.inputs]
        ranges = dict(zip(operator.inputs, operator.seen_rows(row, heights), strict=True))
        return {name: ranges[name] for name in operator.inputs if name in self.births}

    def _made(self, name: str, maker: int) -> None:
        self.births[name].append(len(self.steps))
        self.deaths[name].append(len(self.steps))
        self.steps.append(maker)
