"""Which targets were visited and held: what every task of touching or placing is judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_sim.task import Outcome


class TargetWatch:
    """Counts how long each target is held, since it was made.

    Args:
        targets: how many.
        goal: the one that counts as success; None where nobody knows.
        hold_time: seconds without a break after which a target counts as held.
    """

    def __init__(self, targets: int, goal: int | None, hold_time: float) -> None:
        self._goal, self._hold_time = goal, hold_time
        self._held = np.zeros(targets)
        self._visited = np.zeros(targets, dtype=bool)
        self._completed = np.zeros(targets, dtype=bool)
        self._success_time: float | None = None

    def update(self, inside: NDArray[np.bool_], elapsed: float, now: float) -> None:
        """``inside`` (targets,) held true for ``elapsed`` seconds up to ``now``."""
        self._held = np.where(inside, self._held + elapsed, 0.0)
        self._visited |= inside
        self._completed |= self._held >= self._hold_time - 1e-9
        if self._success_time is None and self._goal is not None and self._completed[self._goal]:
            self._success_time = now

    def outcome(self) -> Outcome:
        """What has happened so far."""
        others = np.arange(len(self._held)) != (-1 if self._goal is None else self._goal)
        return Outcome(
            success=self._success_time is not None,
            wrong_target=bool((self._completed & others).any()),
            passed_over_wrong=bool((self._visited & others).any()),
            time_to_success=self._success_time,
        )
