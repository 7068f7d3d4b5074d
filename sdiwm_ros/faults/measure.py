"""What is said of a trial of a fault, from the commands that reached the robot. ROS-free.

Times are seconds of time.monotonic, which all processes of a host share; commands are noted when
they arrive on the controller's topic.

    injected ──timeout──▶ by then the fault must be noticed ─▶ stopping ─▶ cleared ─▶ recovered

A fault either **stops** the robot: from some command on all are `hold` or `safe`, no joint gets
faster, and the last one is at rest. Or it **is survived**: fresh plans go on without a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.report import distribution
from sdiwm_ros.clock import FUTURE
from sdiwm_ros.signals import CommandKind

SAFE_LIMIT = 0.1  # s after the fault's own timeout
ACTIONS = (CommandKind.PLAN, CommandKind.FALLBACK)
SENDING = 0.005  # s that may pass from the last look at an observation's age to sending
EXACT = 1e-6  # rad/s: rounding when a command travels


class Answer(Enum):
    """What a robot is to do about a fault."""

    STOP = "stop"
    SURVIVE = "survive"


@dataclass(frozen=True)
class Heard:
    """A command that reached the robot at `at`; `age` is that of the observation behind it, s."""

    at: float
    kind: CommandKind
    velocity: NDArray[np.float64]
    age: float

    @property
    def is_action(self) -> bool:
        return self.kind in ACTIONS


@dataclass(frozen=True)
class Trial:
    """One trial: when it was injected and cleared, the fault's timeout, and what came of it.

    `detected_at` None: no node said so. `recovered_at` None: not within the fault's `recovery`.
    `oldest` is the age in seconds up to which an observation may be acted on.
    """

    injected: float
    cleared: float
    timeout: float
    oldest: float
    answer: Answer
    detected_at: float | None
    recovered_at: float | None
    commands: Sequence[Heard]

    @property
    def recovered(self) -> bool:
        return self.recovered_at is not None

    @property
    def during(self) -> list[Heard]:
        """The commands from injection to clearing."""
        return [c for c in self.commands if self.injected <= c.at < self.cleared]

    @property
    def stop_at(self) -> float | None:
        """When the first command of the stop arrived."""
        return next((c.at for c in self.during if not c.is_action), None)

    @property
    def safe_after(self) -> float | None:
        """Seconds from the fault's own timeout until the robot was safe; None: it never was.

        Safe is the first command of a stop. Where the fault is to be survived: the longest time
        without a fresh plan.
        """
        if self.answer is Answer.SURVIVE:
            return max(0.0, self._longest_gap() - self.timeout)
        if self.stop_at is None or self._unrest():
            return None
        return max(0.0, self.stop_at - self.injected - self.timeout)

    @property
    def safe(self) -> bool:
        """Whether the robot was safe in time."""
        return self.safe_after is not None and self.safe_after <= SAFE_LIMIT

    @property
    def stale_actions(self) -> int:
        """Actions that reached the robot though they must not, once it was safe.

        That is, after the first command of a stop, or after the detection where there was none:
        every action before a fault that stops the robot is cleared; and at any time one whose
        observation was older than may be acted on, or of the future.
        """
        safe_at = self.detected_at if self.stop_at is None else self.stop_at
        after = [c for c in self.commands if c.is_action and c.at > (safe_at or self.injected)]
        stopped = self.answer is Answer.STOP and self.stop_at is not None
        return sum((stopped and c.at < self.cleared) or self._is_out_of_time(c) for c in after)

    def _is_out_of_time(self, command: Heard) -> bool:
        return not -FUTURE <= command.age <= self.oldest + SENDING

    @property
    def complaints(self) -> list[str]:
        """What went wrong, in words; empty where nothing did."""
        found = []
        if self.detected_at is None:
            found.append("nobody noticed it")
        if self.safe_after is None:
            found.append(self._unrest())
        elif not self.safe:
            found.append(f"safe {1000 * self.safe_after:.0f} ms after the timeout")
        if self.stale_actions:
            found.append(f"{self.stale_actions} stale actions")
        if not self.recovered:
            found.append("the graph did not recover")
        return found

    def _unrest(self) -> str:
        """Why what followed the fault is no stop, or "": all slower and slower, and then rest."""
        held = [c for c in self.during if not c.is_action]
        if not held:
            return "no stop"
        for before, after in zip(held, held[1:], strict=False):
            if (abs(after.velocity) > abs(before.velocity) + EXACT).any():
                return f"a joint got faster {1000 * (after.at - held[0].at):.0f} ms into the stop"
        return "not at rest at the end" if held[-1].velocity.any() else ""

    def _longest_gap(self) -> float:
        plans = [c.at for c in self.during if c.kind is CommandKind.PLAN]
        return float(np.diff([self.injected, *plans, self.cleared]).max())


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """The figures of one fault, as BENCH reports name them; times in ms."""
    told = [t.detected_at - t.injected for t in trials if t.detected_at is not None]
    well = [t.recovered_at - t.cleared for t in trials if t.recovered_at is not None]
    safe = [t.safe_after for t in trials if t.safe_after is not None]
    return {
        "trials": len(trials),
        "detected": len(told),
        "safe": sum(trial.safe for trial in trials),
        "safe_within_ms": distribution(1000 * np.array(safe)),
        "stale_actions_after_safe": sum(trial.stale_actions for trial in trials),
        "recovered": sum(trial.recovered for trial in trials),
        "detected_after_ms": distribution(1000 * np.array(told)),
        "recovered_after_ms": distribution(1000 * np.array(well)),
        "timeout_ms": 1000 * max(trial.timeout for trial in trials),
        "failures": {
            str(index): "; ".join(trial.complaints)
            for index, trial in enumerate(trials)
            if trial.complaints
        },
    }
