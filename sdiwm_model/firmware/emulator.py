"""A firmware image running under QEMU, with its UART as a stream of bytes.

    image = build_image(board, [Path("program.cpp")])
    with Emulator(board, image) as chip:
        chip.write(b"...")
        answer = chip.read(16, timeout_s=5.0)

Instructions are counted exactly: the emulated clock advances by a fixed time per instruction while
the processor is awake, so differences of the board's `ticks` are instruction counts
(`Board.instructions`). Asleep, it follows the wall clock.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.boards import Board

QEMU = "qemu-system-arm"
REMEDY = "`sudo apt-get install --no-install-recommends qemu-system-arm`"
STARTED = b"\0"  # the board's first byte: it listens
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
NO_ESCAPE = "256"  # no byte is QEMU's own; mux=on buffers, which halves the time that a byte takes


class Emulator:
    """QEMU, started with the object and stopped by `close`, by the end of a `with`, or with us.

    The board listens when the object is made.

    Args:
        board: one that QEMU models.
        image: ELF of `build_image`.
        options: more of QEMU's own, for traces.

    Raises:
        SdiwmError: QEMU is missing, does not model this board, or the image does not start.
    """

    def __init__(self, board: Board, image: Path, options: Sequence[str] = ()) -> None:
        if board.machine is None:
            raise SdiwmError(f"QEMU does not model the board {board.name}: flash a real one.")
        if shutil.which(QEMU) is None:
            raise SdiwmError(f"The emulator `{QEMU}` is missing: {REMEDY}.")
        self.board = board
        self._socket, theirs = socket.socketpair()
        command = [
            QEMU, "-M", board.machine, "-display", "none", "-monitor", "none",
            "-icount", f"shift={board.icount_shift}", "-kernel", str(image),
            "-chardev", f"socket,id=line,fd={theirs.fileno()},mux=on", "-serial", "chardev:line",
            "-echr", NO_ESCAPE,
            *options,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_be_a_humble_child,  # noqa: PLW1509 (nothing here holds a lock)
        )
        theirs.close()
        try:
            self._await_start()
        except BaseException:
            self.close()
            raise

    def _await_start(self) -> None:
        if self.read(len(STARTED), START_TIMEOUT_S) != STARTED:
            name = self.board.name
            raise SdiwmError(f"{name}: the image did not start in {START_TIMEOUT_S:.0f} s.")

    def write(self, data: bytes) -> None:
        """Send bytes to the board's UART."""
        try:
            self._socket.sendall(data)
        except OSError:
            raise SdiwmError(self._ended()) from None

    def read(self, size: int, timeout_s: float) -> bytes:
        """Up to `size` bytes: as many as came when they are complete or the time is over."""
        data = b""
        end = time.monotonic() + timeout_s
        while len(data) < size:
            part = self.read_some(max(0.0, end - time.monotonic()), size - len(data))
            if not part:
                break
            data += part
        return data

    def read_some(self, timeout_s: float, most: int = 65536) -> bytes:
        """What has come, at least one byte; empty where nothing comes in time."""
        ready, _, _ = select.select([self._socket], [], [], timeout_s)
        if not ready:
            return b""
        data = self._socket.recv(most)
        if not data:
            raise SdiwmError(self._ended())
        return data

    def close(self) -> None:
        """Stop QEMU; more calls do nothing."""
        self._socket.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ended(self) -> str:
        """Why nothing more comes."""
        said = b""
        if self._process.poll() is not None and self._process.stderr is not None:
            said = self._process.stderr.read()
        reason = said.decode(errors="replace").strip() or "it said nothing"
        return f"The emulator of {self.board.name} has ended ({reason})."


def _be_a_humble_child() -> None:
    """On Linux, the kernel stops QEMU when the thread that started it ends in whatever way.

    Started by a real-time thread, QEMU runs behind all else that is real-time: it takes a whole
    core, and would starve the loop that waits for it.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
