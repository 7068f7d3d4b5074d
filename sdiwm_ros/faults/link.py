"""A microcontroller on a serial line that fails on demand: the firmware behind a pty. ROS-free.

The firmware's command handler is compiled for this machine; a thread carries bytes between it and
the pty, and does to them what `fault` says. Unlike the port name `sil`, the chip's clock runs.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import threading
import time
import tty
from collections import deque
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType

import numpy as np

PRIORITY = 20  # SCHED_FIFO where permitted: a real chip shares its processor with nobody
WAKE = 0.005  # s between looks at what is due
CHIP_TICK_MS = 10  # that the chip's clock may lag while nothing comes
DELAY = 0.4  # s each way of a delayed line


class LineFault(Enum):
    """What the line does to what it carries."""

    NONE = "none"
    CUT = "cut"
    GARBLED = "garbled"
    DELAYED = "delayed"


class FaultyChip:
    """See the module's docstring; as a context manager it leaves no process behind.

    Args:
        program: `sdiwm_model.firmware.on_host.build_link`.
        port: name under which the line appears, a symbolic link to the pty.
        seed: of what garbles.
    """

    def __init__(self, program: Path, port: Path, seed: int) -> None:
        self.fault = LineFault.NONE
        self.garbled = 0.05  # share of the bytes that come out wrong on a garbled line
        self._program, self._port = program, port
        self._random = np.random.default_rng(seed)
        self._pending: deque[tuple[float, bool, bytes]] = deque()
        self._lock = threading.Lock()  # held while the line or the chip is replaced
        self._stop = threading.Event()
        self._ends: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def __enter__(self) -> FaultyChip:
        self._start_chip()
        self.plug()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.unplug()
        self._end_chip()

    def reset(self) -> None:
        """Restart the chip: it knows neither handshake nor goal nor settings."""
        with self._lock:
            self._end_chip()
            self._start_chip()
            self._pending.clear()

    def unplug(self) -> None:
        """Take the port away; whoever has it open reads an error."""
        with self._lock:
            if self._ends is not None:
                self._port.unlink(missing_ok=True)
                for end in self._ends:
                    os.close(end)
                self._ends = None

    def plug(self) -> None:
        """Give the port back, under its old name."""
        with self._lock:
            if self._ends is None:
                ours, theirs = os.openpty()
                tty.setraw(ours)
                tty.setraw(theirs)
                os.set_blocking(ours, False)
                self._ends = ours, theirs  # theirs stays open: nobody's closing is an error
                self._port.symlink_to(os.ttyname(theirs))

    def _start_chip(self) -> None:
        self._chip = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        with suppress(OSError):  # not permitted here: a chip that is late now and then
            os.sched_setscheduler(self._chip.pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
        self._ticked = time.monotonic()

    def _end_chip(self) -> None:
        self._chip.kill()
        self._chip.wait()
        for pipe in (self._chip.stdin, self._chip.stdout):
            assert pipe is not None
            pipe.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._carry()
            ends = self._ends
            try:
                select.select([ends[0]] if ends else [], [], [], WAKE)
            except OSError:
                continue  # unplugged meanwhile

    def _carry(self) -> None:
        """What has come from the host to the chip, and what is due, each way."""
        now = time.monotonic()
        if self._ends is not None:
            self._send(now, True, _read(self._ends[0]))
        self._send(now, False, self._tick(b""))
        while self._pending and self._pending[0][0] <= now:
            _, to_chip, data = self._pending.popleft()
            if to_chip:
                self._send(now, False, self._tick(data))
            elif self._ends is not None:
                _write(self._ends[0], data)

    def _send(self, now: float, to_chip: bool, data: bytes) -> None:
        """Put bytes on the line, with what its fault does to them."""
        if not data or self.fault is LineFault.CUT:
            return
        if self.fault is LineFault.GARBLED:
            garbled = np.frombuffer(data, np.uint8).copy()
            wrong = self._random.random(len(garbled)) < self.garbled
            garbled[wrong] ^= self._random.integers(1, 256, int(wrong.sum()), np.uint8)
            data = garbled.tobytes()
        due = now + (DELAY if self.fault is LineFault.DELAYED else 0.0)
        if self._pending:
            due = max(due, self._pending[-1][0])
        self._pending.append((due, to_chip, data))

    def _tick(self, data: bytes) -> bytes:
        """Give the chip bytes and let its clock run on; what it answers."""
        elapsed = int(1000 * (time.monotonic() - self._ticked))
        if not data and elapsed < CHIP_TICK_MS:
            return b""
        self._ticked += elapsed / 1000
        stdin, stdout = self._chip.stdin, self._chip.stdout
        assert stdin is not None and stdout is not None
        stdin.write(struct.pack("<II", elapsed, len(data)) + data)
        stdin.flush()
        (size,) = struct.unpack("<I", stdout.read(4))
        return stdout.read(size)


def _read(end: int) -> bytes:
    try:
        return os.read(end, 4096)
    except BlockingIOError:
        return b""


def _write(end: int, data: bytes) -> None:
    """Nobody reading is no reason to wait: a wire has no memory."""
    try:
        os.write(end, data)
    except BlockingIOError:
        return
