"""What travels between the nodes, and the clock it is stamped with. ROS-free."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class CommandKind(StrEnum):
    """Where a command came from: a fresh plan, an earlier plan's next action, or a stop.

    HOLD slows the arm down to rest; SAFE is the robot's safe action, or asks for it.
    """

    PLAN = "plan"
    FALLBACK = "fallback"
    SAFE = "safe"
    HOLD = "hold"


@dataclass(frozen=True)
class Latent:
    """z (Z,), the stamp of the joint state it was fused from, and that of the picture (0: unknown).

    z (0,) was refused.
    """

    z: Array
    stamp_ns: int
    image_ns: int = 0


@dataclass(frozen=True)
class Goal:
    """Conditioning c (C,), or None where the instruction was refused."""

    c: Array | None
    instruction: str

    @cached_property
    def fingerprint(self) -> int:
        """CRC-32 of the conditioning: what a plan made elsewhere was made for; 0 without one."""
        return 0 if self.c is None else crc32(self.c.tobytes())


@dataclass(frozen=True)
class ChipPlan:
    """A microcontroller's plan (H, A) in [-1, 1]; `goal` is the fingerprint of its goal.

    stamp_ns: of the observation behind it. starts_ns: when its first action is to act.
    """

    actions: Array
    stamp_ns: int
    starts_ns: int
    goal: int


@dataclass(frozen=True)
class Command:
    """Joint velocities (A,) in rad/s; `goal` counts the goals the planner had been given.

    plan: CRC-32 of the whole plan's actions, by which two plans are told apart; number: how many
    plans the planner had made with it; before_ns: the stamp that the plan before was made on. 0:
    of no plan.
    """

    velocity: NDArray[np.float64]
    stamp_ns: int
    kind: CommandKind
    goal: int
    plan: int = 0
    number: int = 0
    before_ns: int = 0


def now_ns() -> int:
    """The clock of every stamp in the graph: the host's system clock, in nanoseconds."""
    return time.time_ns()
