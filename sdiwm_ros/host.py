"""What the host itself does during a run: its timer's jitter and the nodes' memory. ROS-free.

The jitter is that of a bare loop, in a process of its own with the nodes' scheduling, that does
nothing but sleep to absolute deadlines: `python -m sdiwm_ros.host FILE PERIOD SECONDS`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.files import atomic_path
from sdiwm_ros.realtime import Deadlines, quiet_collector
from sdiwm_ros.recording import Rows

TIMER_FILE = "host_timer.npy"
MEMORY_FILE = "memory.npz"
SAMPLING = 1.0  # s between looks at the memory
PRIORITY = 20  # SCHED_FIFO, as the nodes have by default
WARM_UP = 0.2  # of the run, in which caches fill: left out of the slope


@dataclass(frozen=True)
class HostRecord:
    """Wake-ups of the bare loop (K,) and memory (N, nodes) in bytes at `memory_ns` (N,)."""

    timer_ns: NDArray[np.int64]
    nodes: tuple[str, ...]
    memory_ns: NDArray[np.int64]
    memory: NDArray[np.int64]

    def slopes_mb_per_min(self) -> dict[str, float]:
        """By how much the resident memory of each node grew, by least squares after warm-up.

        NaN where the run was too short to tell.
        """
        span = self.memory_ns[-1] - self.memory_ns[0]
        settled = self.memory_ns >= self.memory_ns[0] + WARM_UP * span
        if settled.sum() < 2:
            return dict.fromkeys(self.nodes, float("nan"))
        minutes = (self.memory_ns[settled] - self.memory_ns[0]) / 60e9
        slopes = np.polyfit(minutes, self.memory[settled] / 1e6, 1)[0]
        return dict(zip(self.nodes, slopes.tolist(), strict=True))


class HostWatch:
    """Records the host while it is entered; `sample` is called about ten times a second.

    Args:
        folder: where the records go.
        processes: process number of each node.
        period: of the bare loop, s.
        seconds: how long it runs at most.
    """

    def __init__(
        self, folder: Path, processes: Mapping[str, int], period: float, seconds: float
    ) -> None:
        self._folder, self._processes = folder, processes
        self._command = [sys.executable, "-m", "sdiwm_ros.host", str(folder / TIMER_FILE)]
        self._command += [str(period), str(seconds)]
        self._rows = Rows(round(seconds / SAMPLING) + 1, 1 + len(processes), np.int64)
        self._next = 0.0

    def __enter__(self) -> HostWatch:
        self._timer = subprocess.Popen(self._command, start_new_session=True)
        return self

    def sample(self) -> None:
        """Note the memory of every node, if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SAMPLING
        self._rows.add([time.time_ns(), *map(resident_bytes, self._processes.values())])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.send_signal(signal.SIGTERM)
        self._timer.wait()
        rows = self._rows.kept
        with atomic_path(self._folder / MEMORY_FILE) as path, path.open("wb") as stream:
            np.savez(stream, nodes=list(self._processes), at=rows[:, 0], memory=rows[:, 1:])


def read_host(folder: Path) -> HostRecord | None:
    """What a `HostWatch` left; None where the run had none, or ended before its loop had begun."""
    if not ((folder / MEMORY_FILE).exists() and (folder / TIMER_FILE).exists()):
        return None
    with np.load(folder / MEMORY_FILE, allow_pickle=False) as record:
        nodes = tuple(str(name) for name in record["nodes"])
        at, memory = record["at"], record["memory"]
    return HostRecord(np.load(folder / TIMER_FILE), nodes, at, memory)


def resident_bytes(process: int) -> int:
    """Resident memory of a process, 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in fields if line.startswith("VmRSS:")]
    return 1024 * int(sizes[0]) if sizes else 0


def main(argv: list[str] | None = None) -> int:
    """The bare loop: FILE PERIOD SECONDS; writes when it woke, ns, at SIGTERM or the end."""
    file, period, seconds = sys.argv[1:] if argv is None else argv
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    wakes = Rows(round(float(seconds) / float(period)), 1, np.int64)
    with suppress(OSError):  # not permitted: the nodes have normal scheduling too
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    quiet_collector()
    deadlines = Deadlines(float(period))
    while not stopped and wakes.count < wakes.capacity:
        time.sleep(max(0.0, deadlines.remaining()))
        wakes.add(time.time_ns())
        deadlines.advance()
    np.save(file, wakes.kept[:, 0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
