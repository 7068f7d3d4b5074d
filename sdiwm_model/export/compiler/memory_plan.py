"""Where every tensor lies: fixed offsets in one arena, from lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Block:
    """Bytes that are needed at some moments of a run.

    alive        bool (moments,): when its contents matter
    may_overlap  block -> D: this one may begin D bytes or more before that one, though both are
                 alive; it is written from its start on and reads that one no later than this
                 allows
    """

    name: str
    size: int
    alive: NDArray[np.bool_]
    may_overlap: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Offset of every block, and the bytes of the arena that holds them all."""

    offsets: dict[str, int]
    peak: int


def plan(blocks: Iterable[Block]) -> Plan:
    """Place every block at the lowest offset that is free while it lives; the best of some orders.

    Greedy best fit by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference", 2020), widened by blocks that may overlap.
    """
    found = list(blocks)
    together = np.stack([block.alive for block in found]).astype(np.float32)
    meets = together @ together.T > 0
    conflicts = {
        block.name: {other.name for other, both in zip(found, row, strict=True) if both}
        for block, row in zip(found, meets, strict=True)
    }
    orders: tuple[Callable[[Block], Any], ...] = (
        lambda b: -b.size,
        lambda b: -b.size * int(b.alive.sum()),
        lambda b: (int(b.alive.argmax()), -b.size),
        lambda b: (-int(b.alive.argmax()), -b.size),  # results before what they may overlap
        lambda b: (int(b.alive[::-1].argmax()), -b.size),
    )
    plans = [_place(sorted(found, key=order), conflicts) for order in orders]
    return min(plans, key=lambda p: p.peak)


def _place(blocks: list[Block], conflicts: dict[str, set[str]]) -> Plan:
    offsets: dict[str, int] = {}
    placed: list[Block] = []
    for block in blocks:
        meets = [other for other in placed if other.name in conflicts[block.name]]
        at = 0
        for start, end in sorted(_forbidden(block, b, offsets[b.name]) for b in meets):
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
