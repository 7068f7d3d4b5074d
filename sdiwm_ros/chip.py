"""A planner on a microcontroller that may be absent, restart and come back. ROS-free."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, Plan, PlannerSettings
from sdiwm_model.runtime.mcu import McuPlanner, Microcontroller

PAUSE = 0.1  # s after a failure until the chip is asked again
ABSENCE = 1.0  # s after a failed handshake until the next
READING = 1.0  # s between readings of the chip's own counters


class ChipPlanner:
    """See `sdiwm_model.planning.protocols.Planner`; one thread plans.

    Args:
        connect: opens the line and shakes hands; SdiwmError where there is no chip, or one with
            another model or protocol.
        settings: of the planner on the chip.
        seed: of its random numbers.
        now: time.monotonic.
    """

    def __init__(
        self,
        connect: Callable[[], Microcontroller],
        settings: PlannerSettings,
        seed: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._connect, self._seed, self._now = connect, seed, now
        self._chip: Microcontroller | None = None
        self._planner: McuPlanner | None = None
        self._failure = "the microcontroller has not been asked yet"
        self._not_before = self._read_at = float("-inf")
        self._counted: dict[str, Any] = {}
        self.failures = 0

    def plan(self, z: Array, c: Array, warm_start: Array | None) -> Plan:
        """As the protocol says.

        Raises:
            SdiwmError: no answer; while the chip is given a pause, the reason for that at once.
        """
        if self._now() < self._not_before:
            raise SdiwmError(self._failure)
        try:
            planner = self._planner or self._greet()
            plan = planner.plan(z, c, warm_start)
            self._read_counters()
        except SdiwmError as error:
            pause = ABSENCE if self._planner is None else PAUSE
            self.failures += 1
            self._failure = str(error)
            self._not_before = self._now() + pause
            raise
        return plan

    def figures(self) -> dict[str, object]:
        """What both sides of the link have counted."""
        if self._chip is None:
            return {"failures": self.failures}
        link = self._chip.link
        kinds = ("sent", "answered", "repeated", "reconnected", "refused", "damaged", "unexpected")
        ours = {f"link_{kind}": getattr(link.statistics, kind) for kind in kinds}
        theirs = {f"chip_{key}": value for key, value in self._counted.items()}
        board = {"board": link.board, "went_safe": link.statistics.went_safe}
        return {"failures": self.failures, **board, **ours, **theirs}

    def close(self) -> None:
        """Give the chip up; its own watchdog notices."""
        if self._chip is not None:
            self._chip.link.close()
        self._chip = self._planner = None

    def _greet(self) -> McuPlanner:
        self._chip = self._connect()
        self._planner = self._chip.make_planner(self.settings, self._seed)
        return self._planner

    def _read_counters(self) -> None:
        if self._chip is not None and self._now() - self._read_at > READING:
            self._read_at = self._now()
            counted = self._chip.link.read_statistics()
            self._counted = {key: value for key, value in counted.items() if key != "action"}
