"""When and where everything happens: the steps of a program and its plan of memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.memory_plan import Block, Plan, plan
from sdiwm_model.export.compiler.operators import BYTES, Operator, Program
from sdiwm_model.export.compiler.patches import Stage, possible_lengths, stage

SCRATCH = "scratch of "
IN_PLACE = (op.Add, op.Multiply, op.Lookup)
STRIPS = (1, 2, 3, 4)
MOST_EXTRA_MACS = 0.25  # of a network's, spent on halos


@dataclass(frozen=True)
class Layout:
    """A stage that runs patch by patch, or none; then one operator after the other.

    scratch_bytes  operator -> the scratch memory that it may use
    """

    program: Program
    stage: Stage | None
    memory: Plan
    scratch_bytes: dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes of the arena: every tensor and all scratch memory."""
        return self.memory.peak

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulates that are done twice."""
        if self.stage is None:
            return 0
        once = sum(self.program.macs(o) for o in self.program.operators[: self.stage.length])
        return self.stage.macs(self.program) - once

    def rows(self, tensor: str) -> int:
        """Rows of a tensor that are in memory at a time."""
        return _size(self.program, self.stage, tensor)[0]

    def columns(self, tensor: str) -> int:
        """Columns of a tensor that are in memory at a time."""
        return _size(self.program, self.stage, tensor)[1]

    def bytes(self, tensor: str) -> int:
        """Memory that a tensor takes."""
        shape, own = self.program.tensors[tensor].shape, self.program.tensors[tensor]
        return own.bytes // (shape[0] * shape[1]) * self.rows(tensor) * self.columns(tensor)

    def offset(self, tensor: str) -> int:
        """Where a tensor begins in the arena."""
        return self.memory.offsets[tensor]

    def scratch(self, operator: Operator) -> int:
        """Where an operator's scratch memory begins; 0 if it needs none."""
        return self.memory.offsets.get(SCRATCH + operator.name, 0)


def layout(program: Program, ram: int | None = None) -> Layout:
    """The layout of least memory, or within `ram` bytes that which does the least work twice.

    Among equal ones that with the shortest stage.

    Raises:
        SdiwmError: no layout fits into `ram`.
    """
    return _with_more_scratch(_least(program, ram), ram)


def _least(program: Program, ram: int | None) -> Layout:
    best = arrange(program, None)
    once = max(1, sum(program.macs(operator) for operator in program.operators))
    for strips in STRIPS:
        for length in possible_lengths(program):
            if ram is not None and best.peak <= ram:
                return best
            chosen = stage(program, length, strips)
            if _too_narrow(program, chosen):
                continue
            candidate = arrange(program, chosen)
            if candidate.extra_macs <= MOST_EXTRA_MACS * once and candidate.peak < best.peak:
                best = candidate
    if ram is not None and best.peak > ram:
        raise SdiwmError(
            f"'{program.name}' needs {best.peak} bytes of memory at least, {ram} are allowed: "
            "give it more, a smaller picture or fewer channels"
        )
    return best


def _too_narrow(program: Program, chosen: Stage) -> bool:
    """Whether a result has fewer columns than there are strips."""
    return any(program.tensors[n].shape[1] < len(chosen.spans) for n in chosen.births)


def _with_more_scratch(found: Layout, ram: int | None) -> Layout:
    """Give operators more scratch memory as long as no more memory is needed, or allowed."""
    allowed = max(found.peak, ram or 0)
    for operator in sorted(found.program.operators, key=found.program.macs, reverse=True):
        most = operator.most_scratch(found.program.shapes(operator))
        for more in (most, most // 2, most // 4):
            if more > found.scratch_bytes[operator.name]:
                wanted = found.scratch_bytes | {operator.name: more}
                candidate = arrange(found.program, found.stage, scratch=wanted)
                found = candidate if candidate.peak <= allowed else found
    return found


def arrange(
    program: Program,
    chosen: Stage | None,
    overlap: bool = True,
    scratch: dict[str, int] | None = None,
) -> Layout:
    """Plan the memory of a program whose first operators are `chosen` to run patch by patch.

    overlap  let results overlap inputs that are no longer read; without it only elementwise
             operators work in place
    scratch  bytes for each operator; what they need at least without it
    """
    if scratch is None:
        scratch = {o.name: o.scratch(program.shapes(o)) for o in program.operators}
    blocks = _Blocks(program, chosen, overlap)
    return Layout(program, chosen, plan(blocks.made(scratch)), scratch)


def _size(program: Program, chosen: Stage | None, name: str) -> tuple[int, int]:
    height, width, _ = program.tensors[name].shape
    if chosen is None or name not in chosen.births:
        return height, width
    return chosen.rows(name), chosen.width(program, name)


class _Blocks:
    """Lifetimes. Moment 0 is before the run, then the stage's rows, then operators, then after."""

    def __init__(self, program: Program, chosen: Stage | None, overlap: bool) -> None:
        self.program, self.stage, self.overlap = program, chosen, overlap
        self.length = chosen.length if chosen else 0
        self.events = len(chosen.order) if chosen else 0
        self.moments = self.events + len(program.operators) - self.length + 2
        self.last_read = self._last_reads()

    def made(self, scratch: dict[str, int]) -> list[Block]:
        """One block a tensor, one for the scratch memory of each operator that needs some."""
        program = self.program
        makers = {operator.output: i for i, operator in enumerate(program.operators)}
        blocks = []
        for name in (*program.inputs, *makers):
            allowed: dict[str, int] = {}
            if makers.get(name, -1) >= self.length:
                allowed = self._overlaps(program.operators[makers[name]])
            height, width = _size(program, self.stage, name)
            shape, whole = program.tensors[name].shape, program.tensors[name].bytes
            size = whole // (shape[0] * shape[1]) * height * width
            blocks.append(Block(name, size, self._alive(name, makers.get(name)), allowed))
        for index, operator in enumerate(program.operators):
            size = scratch[operator.name]
            if size:
                blocks.append(Block(SCRATCH + operator.name, size, self._busy(index)))
        return blocks

    def _moment(self, index: int) -> int:
        """When an operator after the stage runs."""
        return 1 + self.events + index - self.length

    def _last_reads(self) -> dict[str, int]:
        """Tensor -> the last moment after the stage that needs it."""
        found: dict[str, int] = {}
        for index, operator in enumerate(self.program.operators):
            if index >= self.length:
                found |= dict.fromkeys(operator.inputs, self._moment(index))
        return found | dict.fromkeys(self.program.outputs, self.moments - 1)

    def _busy(self, index: int) -> np.ndarray:
        """When an operator runs."""
        alive = np.zeros(self.moments, bool)
        if index >= self.length:
            alive[self._moment(index)] = True
        elif self.stage:
            alive[1 : self.events + 1] = np.array(self.stage.order) == index
        return alive

    def _alive(self, name: str, maker: int | None) -> np.ndarray:
        """When the contents of a tensor matter."""
        alive = np.zeros(self.moments, bool)
        start = 0 if maker is None else self._moment(maker)
        if self.stage and name in self.stage.births:
            start = 1  # a result, of which every strip makes a part
            if name not in self.stage.results:
                births, deaths = self.stage.births[name], self.stage.deaths[name]
                for birth, death in zip(births, deaths, strict=True):
                    alive[1 + birth : 2 + death] = True
                return alive
        alive[start : max(self.last_read.get(name, start), start) + 1] = True
        return alive

    def _overlaps(self, operator: Operator) -> dict[str, int]:
        """For each input that is not read again, how far before it the output must begin."""
        program = self.program
        out = program.tensors[operator.output]
        index = program.operators.index(operator)
        allowed = {}
        for name in operator.inputs:
            x = program.tensors[name]
            if x.constant is not None or self.last_read[name] != self._moment(index):
                continue
            if isinstance(operator, IN_PLACE):
                if x.shape == out.shape and BYTES[x.dtype] == BYTES[out.dtype]:
                    allowed[name] = 0
            elif isinstance(operator, op.Windowed) and self.overlap:
                rows = range(out.shape[0])
                first = [operator.seen_rows(row, [x.shape[0]])[0].start for row in rows]
                needed = [(r + 1) * out.row_bytes - first[r] * x.row_bytes for r in rows]
                allowed[name] = max(*needed, 0)
        return allowed
