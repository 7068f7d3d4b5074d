"""A Ray to work in: the cluster that is there already, else one of this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sdiwm_model.errors import SdiwmError

OBJECT_STORE_BYTES = 1_000_000_000


def import_ray() -> Any:
    """Return the module; SdiwmError where it is not installed.

    It reports to nobody unless RAY_USAGE_STATS_ENABLED=1 says so: a thread that samples for the
    report goes on while Ray shuts down, which then may end the process with exit code 1.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise SdiwmError("Ray is not installed; pip install 'sdiwm_ros[data]'") from None
    return ray


def ensure_ray(object_store_bytes: int = OBJECT_STORE_BYTES) -> Any:
    """Connect to Ray and return the module; it is asked to keep quiet.

    Inside a Ray program nothing is changed. RAY_ADDRESS names a cluster, whose own store counts;
    without it a local Ray starts, whose object store has ``object_store_bytes`` in shared memory.
    """
    ray = import_ray()
    if not ray.is_initialized():
        remote = bool(os.environ.get("RAY_ADDRESS"))
        local = {
            "address": "local",  # not whatever other Ray happens to run on this machine
            "object_store_memory": object_store_bytes,
            "num_cpus": len(os.sched_getaffinity(0)),
            "include_dashboard": False,
        }
        with own_ending():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **({} if remote else local))
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


@contextmanager
def own_ending() -> Iterator[None]:
    """Keep what this process does when it is asked to end: Ray puts something else in its place."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def cluster_for_processes(object_store_bytes: int = OBJECT_STORE_BYTES) -> Iterator[None]:
    """Keep one Ray for all processes started meanwhile; end it if it was not there before."""
    ray = import_ray()
    before, address = ray.is_initialized(), os.environ.get("RAY_ADDRESS")
    ensure_ray(object_store_bytes)
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        if address is None:
            del os.environ["RAY_ADDRESS"]
        else:
            os.environ["RAY_ADDRESS"] = address
        if not before:
            ray.shutdown()
