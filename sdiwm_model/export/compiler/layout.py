"""When and where everything happens: the steps of a program and its plan of memory."""

from __future__ import annotations

from dataclasses import dataclass

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import operators as op
from sdiwm_model.export.compiler.memory_plan import Block, Plan, plan
from sdiwm_model.export.compiler.operators import BYTES, Operator, Program
from sdiwm_model.export.compiler.patches import Stage, possible_lengths, stage

SCRATCH = "scratch of "
IN_PLACE = (op.Add, op.Multiply, op.Lookup)


@dataclass(frozen=True)
class Layout:
    """A stage that runs row by row, or none; then one operator after the other.

    rows     tensor -> rows of it that are in memory
    """

    program: Program
    stage: Stage | None
    memory: Plan
    rows: dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes of the arena: every tensor and all scratch memory, network inputs included."""
        return self.memory.peak

    def offset(self, tensor: str) -> int:
        """Where a tensor begins in the arena."""
        return self.memory.offsets[tensor]

    def scratch(self, operator: Operator) -> int:
        """Where an operator's scratch memory begins; 0 if it needs none."""
        return self.memory.offsets.get(SCRATCH + operator.name, 0)


def layout(program: Program, ram: int | None = None, overlap: bool = True) -> Layout:
    """The layout of least memory, or the first within `ram` bytes with the shortest stage.

    overlap  let results overlap inputs that are no longer read; without it only elementwise
             operators work in place

    Raises:
        SdiwmError: no layout fits into `ram`.
    """
    best = arrange(program, None, overlap)
    for length in possible_lengths(program):
        if ram is not None and best.peak <= ram:
            break
        candidate = arrange(program, stage(program, length), overlap)
        if candidate.peak < best.peak:
            best = candidate
    if ram is not None and best.peak > ram:
        raise SdiwmError(
            f"'{program.name}' needs {best.peak} bytes of memory at least, {ram} are allowed: "
            "give it more, a smaller picture or fewer channels"
        )
    return best


def arrange(program: Program, chosen: Stage | None, overlap: bool = True) -> Layout:
    """Plan the memory of a program whose first operators are `chosen` to run row by row."""
    blocks = _blocks(program, chosen, overlap)
    return Layout(program, chosen, plan(blocks.values()), _rows(program, chosen))


def _rows(program: Program, chosen: Stage | None) -> dict[str, int]:
    capacity = chosen.capacity if chosen else {}
    return {name: capacity.get(name, t.shape[0]) for name, t in program.tensors.items()}


def _blocks(program: Program, chosen: Stage | None, overlap: bool) -> dict[str, Block]:
    """Lifetimes in steps: -1 before the run, 0 the stage, then one for each operator."""
    length = chosen.length if chosen else 0
    end = len(program.operators) - length + 1
    step_of = [max(0, i - length + 1) for i in range(len(program.operators))]
    births = dict.fromkeys(program.inputs, -1)
    deaths: dict[str, int] = {}
    for step, operator in zip(step_of, program.operators, strict=True):
        births[operator.output] = step
        for name in operator.inputs:
            deaths[name] = step
    deaths |= dict.fromkeys(program.outputs, end)
    if chosen and program.inputs[0] in chosen.capacity:
        births[program.inputs[0]] = 0
    rows = _rows(program, chosen)
    blocks = {}
    for name, birth in births.items():
        tensor = program.tensors[name]
        blocks[name] = Block(name, tensor.row_bytes * rows[name], birth, deaths.get(name, birth))
    for index, operator in enumerate(program.operators):
        step = step_of[index]
        size = operator.scratch(program.shapes(operator))
        if size:
            blocks[SCRATCH + operator.name] = Block(SCRATCH + operator.name, size, step, step)
        if step > 0:
            own = blocks[operator.output]
            allowed = _overlaps(program, operator, deaths, step, overlap)
            blocks[own.name] = Block(own.name, own.size, own.first, own.last, allowed)
    return blocks


def _overlaps(
    program: Program, operator: Operator, deaths: dict[str, int], step: int, overlap: bool
) -> dict[str, int]:
    """For each input that dies here, how far before it the output must begin at least."""
    out = program.tensors[operator.output]
    allowed = {}
    for position, name in enumerate(operator.inputs):
        x = program.tensors[name]
        if x.constant is not None or deaths[name] != step:
            continue
        if isinstance(operator, IN_PLACE):
            if x.shape == out.shape and BYTES[x.dtype] == BYTES[out.dtype]:
                allowed[name] = 0
        elif isinstance(operator, op.Windowed) and overlap:
            heights = [program.tensors[n].shape[0] for n in operator.inputs]
            ends = (
                (row + 1) * out.row_bytes
                - _first(operator.seen_rows(row, heights)[position]) * x.row_bytes
                for row in range(out.shape[0])
            )
            allowed[name] = max(*ends, 0)
    return allowed


def _first(rows: range) -> int:
    return rows.start
