"""What an operating system may grant a process that must keep time, and what came of asking.

Each function says in words what is in force, for /diagnostics. ROS-free.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

CPU_LIST = r"(\d+(-\d+)?(,\d+(-\d+)?)*)?"
"""Regular expression of a list of processors such as `0,2-3`; empty: none in particular."""

_AT_START = os.sched_getaffinity(0)
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # <sys/mman.h>


def schedule(priority: int) -> str:
    """Ask for SCHED_FIFO at `priority`; 0: normal scheduling."""
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        _for_every_thread(lambda thread: os.sched_setscheduler(
            thread, policy, os.sched_param(priority)
        ))  # fmt: skip
    except OSError:
        return "normal scheduling: real-time scheduling is not permitted here"
    return f"SCHED_FIFO {priority}" if priority else "normal scheduling"


def schedule_this_thread(priority: int) -> None:
    """The same for the thread that calls, where real-time scheduling is permitted."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def lock_memory(wanted: bool) -> str:
    """Ask that no page of this process, once touched, is ever swapped out; or give that up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not wanted:
        libc.munlockall()
        return "not locked"
    # Under a limit every later allocation beyond it would fail: worse than being swapped out.
    if not _may_lock_without_limit():
        return "not locked: not permitted here (no CAP_IPC_LOCK)"
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return f"not locked: {os.strerror(ctypes.get_errno())}"
    return "locked"


def pin(cpus: str) -> str:
    """Ask to run on the processors of a `CPU_LIST` only; empty: wherever it was started."""
    wanted = read_cpus(cpus) or _AT_START
    try:
        _for_every_thread(lambda thread: os.sched_setaffinity(thread, wanted))
    except OSError:
        allowed = ",".join(map(str, sorted(_AT_START)))
        return f"not pinned: {cpus} is not permitted here (allowed: {allowed})"
    return f"pinned to {cpus}" if cpus else "not pinned"


def read_cpus(text: str) -> set[int]:
    """`0,2-3` -> {0, 2, 3}."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return {cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)}


def _for_every_thread(ask: Callable[[int], None]) -> None:
    """Those of the middleware too: a message that waits for its receiving thread is as late as
    one that waits for the callback.
    """
    for thread in Path("/proc/self/task").iterdir():
        ask(int(thread.name))


def _may_lock_without_limit() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(effective >> 14 & 1)  # CAP_IPC_LOCK in <linux/capability.h>
