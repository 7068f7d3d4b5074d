"""Patch-based execution: the early layers run row by row, each keeping only the rows it needs.

A patch is a row of the picture in full width. Receptive-field arithmetic gives, for every row of
the stage's last layer, the rows of all layers before it; those that later rows see again (the
halo) stay in memory instead of being computed again, so the stage does no work twice and its
integers are those of layer-by-layer execution. The idea of patches is that of Lin et al.,
"MCUNetV2" (2021), who recompute the halo.
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


@dataclass(frozen=True)
class Stage:
    """The first `length` operators of a program, run row by row.

    order     what makes its next row, in turn: -1 for the network's picture, else the operator
    capacity  tensor -> rows that are in memory at a time; all of them for the stage's results
    """

    length: int
    order: tuple[int, ...]
    capacity: dict[str, int]


def possible_lengths(program: Program) -> list[int]:
    """How many of the first operators can be run row by row, from 1 up; none for vectors."""
    lengths: list[int] = []
    pictures = [n for n in program.inputs if program.tensors[n].shape[0] > 1]
    if len(pictures) != 1 or len(program.inputs) != 1:
        return lengths
    made = set(pictures)
    for index, operator in enumerate(program.operators):
        heights = [program.tensors[n].shape[0] for n in (*operator.inputs, operator.output)]
        constant = all(
            name in made or program.tensors[name].constant is not None for name in operator.inputs
        )
        if not isinstance(operator, ROW_BY_ROW) or heights[-1] < 2 or not constant:
            break
        made.add(operator.output)
        lengths.append(index + 1)
    return lengths


def stage(program: Program, length: int) -> Stage:
    """Order and rows in memory of the first `length` operators."""
    order = _Order(program, length)
    order.run()
    capacity = {}
    for name, births in order.births.items():
        height = program.tensors[name].shape[0]
        whole = name in order.results
        capacity[name] = height if whole else _capacity(births, order.deaths[name])
    return Stage(length, tuple(order.steps), capacity)


def _capacity(births: list[int], deaths: list[int]) -> int:
    """Most rows between the oldest that is still to be read and the newest."""
    oldest, most = 0, 1
    for newest, time in enumerate(births):
        while oldest < newest and deaths[oldest] < time:
            oldest += 1
        most = max(most, newest - oldest + 1)
    return most


class _Order:
    """Makes rows on demand: before a row, those that it sees."""

    def __init__(self, program: Program, length: int) -> None:
        self.program = program
        self.operators = program.operators[:length]
        self.makers = {operator.output: i for i, operator in enumerate(self.operators)}
        self.picture = program.inputs[0]
        later = {name for operator in program.operators[length:] for name in operator.inputs}
        self.results = {n for n in self.makers if n in later or n in program.outputs}
        self.steps: list[int] = []
        names = [self.picture, *self.makers]
        self.births: dict[str, list[int]] = {name: [] for name in names}
        self.deaths: dict[str, list[int]] = {name: [] for name in names}
        if self.picture in later:
            self.results.add(self.picture)

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
        sources = [n for n in operator.inputs if n in self.births]
        heights = [self.program.tensors[n].shape[0] for n in operator.inputs]
        ranges = dict(zip(operator.inputs, operator.seen_rows(row, heights), strict=False))
        return {name: ranges[name] for name in sources}

    def _made(self, name: str, maker: int) -> None:
        self.births[name].append(len(self.steps))
        self.deaths[name].append(len(self.steps))
        self.steps.append(maker)
