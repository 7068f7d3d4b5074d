"""Where every tensor lies: fixed offsets in one arena, from lifetimes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ALIGNMENT = 16


@dataclass(frozen=True)
class Block:
    """Bytes that are needed from step `first` to step `last`, both included.

    may_overlap  block -> D: this one may begin D bytes or more before that one, though they
                 overlap; it is written from its start on and reads that one no later than this
                 allows
    """

    name: str
    size: int
    first: int
    last: int
    may_overlap: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Offset of every block, and the bytes of the arena that holds them all."""

    offsets: dict[str, int]
    peak: int


def plan(blocks: Iterable[Block]) -> Plan:
    """Place every block at the lowest offset that is free while it lives; the best of four orders.

    Greedy best fit by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference", 2020), widened by blocks that may overlap.
    """
    found = list(blocks)
    orders = (
        lambda b: (-b.size, b.first),
        lambda b: (-b.size * (b.last - b.first + 1), b.first),
        lambda b: (b.first, -b.size),
        lambda b: (-b.last, -b.size),
    )
    plans = [_place(sorted(found, key=order)) for order in orders]
    return min(plans, key=lambda p: p.peak)


def _place(blocks: list[Block]) -> Plan:
    offsets: dict[str, int] = {}
    placed: list[Block] = []
    for block in blocks:
        alive = [b for b in placed if b.first <= block.last and block.first <= b.last]
        taken = sorted(_forbidden(block, other, offsets[other.name]) for other in alive)
        at = 0
        for start, end in taken:
            if start < at < end:
                at = -(-end // ALIGNMENT) * ALIGNMENT
        offsets[block.name] = at
        placed.append(block)
    return Plan(offsets, max((offsets[b.name] + b.size for b in blocks), default=0))


def _forbidden(block: Block, other: Block, at: int) -> tuple[int, int]:
    """Offsets that `block` may not have, strictly between the two, for `other` at `at`."""
    before = block.may_overlap.get(other.name, block.size)
    after = other.may_overlap.get(block.name, other.size)
    return at - min(before, block.size), at + min(after, other.size)
