"""Trials of a fault on a running graph, one after the other."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType

import numpy as np

from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.faults.bed import Bed, BedSettings
from sdiwm_ros.faults.cases import Fault
from sdiwm_ros.faults.measure import Trial

DWELL = 0.3  # s that a fault lasts after its own timeout, at least: time to slow down and rest
DETECTION = 2.5  # s: diagnostics come once a second at the latest
AFTERMATH = 0.3  # s after the clearing in which stale actions are looked for


class Runner:
    """Runs trials on one graph for as long as it recovers; a graph that does not is replaced, so
    that every trial begins well. A context manager.
    """

    def __init__(self, settings: BedSettings, random: np.random.Generator) -> None:
        self._settings, self._random = settings, random
        self._bed: Bed | None = None
        self._beds = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def trial(self, fault: Fault) -> Trial:
        """One trial.

        Raises:
            SdiwmError: no graph could be started, or the arm does not move in it.
        """
        if self._bed is None:
            folder = self._settings.folder / f"graph-{self._beds}"
            self._beds += 1
            self._bed = Bed(replace(self._settings, folder=folder), self._random)
            self._bed.__enter__()
        trial = run_trial(fault, self._bed)
        if not trial.recovered:
            self._end()
        return trial

    def _end(self) -> None:
        if self._bed is not None:
            self._bed.__exit__(None, None, None)
            self._bed = None


def run_trial(fault: Fault, bed: Bed) -> Trial:
    """Inject the fault while the arm moves, clear it, and wait for the graph to recover."""
    injector = bed.injector
    bed.await_motion()
    injector.forget()
    case = fault.draw(bed)
    injected = time.monotonic()
    words = case.inject()
    if words or injector.until(lambda: case.detected(bed, injected), DETECTION):
        detected: float | None = time.monotonic()
    else:
        detected = None
    injector.spin(injected + case.timeout + DWELL - time.monotonic())
    cleared = time.monotonic()
    case.clear()
    recovered = injector.until(
        lambda: bed.well(cleared) and case.recovered(bed, cleared), fault.recovery
    )
    recovered_at = time.monotonic() if recovered else None
    injector.spin(cleared + AFTERMATH - time.monotonic())
    return Trial(
        injected=injected,
        cleared=cleared,
        timeout=case.timeout,
        oldest=float(read_defaults("guard")["observation_timeout"]),
        answer=fault.answer,
        detected_at=detected,
        recovered_at=recovered_at,
        commands=tuple(injector.commands),
    )
