import os
import time

import numpy as np
import pytest

from sdiwm_ros.host import HostRecord, HostWatch, read_host, resident_bytes


def test_a_bare_loop_and_the_nodes_memory_are_recorded_while_a_run_lasts(tmp_path):
    with HostWatch(tmp_path, {"us": os.getpid()}, 0.004, 60.0) as watch:
        watch.sample()
        started = time.monotonic()
        while time.monotonic() - started < 1.5:  # the loop's process takes its time to begin
            watch.sample()
            time.sleep(0.1)
    record = read_host(tmp_path)
    assert np.median(np.diff(record.timer_ns)) == pytest.approx(4e6, rel=0.05)
    assert len(record.memory) == 2
    assert record.memory[-1, 0] == pytest.approx(resident_bytes(os.getpid()), rel=0.2)


def test_growth_is_told_for_each_node_after_the_warm_up():
    minutes = np.linspace(0.0, 10.0, 601)
    growing = 50e6 + 3e6 * minutes
    warming = np.where(minutes < 2, 20e6 + 10e6 * minutes, 40e6)
    memory = np.stack([growing, warming], axis=1).astype(np.int64)
    at = (minutes * 60e9).astype(np.int64)
    record = HostRecord(np.zeros(0, np.int64), ("growing", "warming"), at, memory)
    slopes = record.slopes_mb_per_min()
    assert slopes["growing"] == pytest.approx(3.0, abs=0.01)
    assert slopes["warming"] == pytest.approx(0.0, abs=0.01)


def test_a_run_too_short_to_tell_has_no_growth():
    record = HostRecord(np.zeros(0, np.int64), ("node",), np.array([0]), np.array([[50]]))
    assert np.isnan(record.slopes_mb_per_min()["node"])


def test_a_run_that_was_not_watched_has_no_host_record(tmp_path):
    assert read_host(tmp_path) is None
    assert resident_bytes(2**22 + 1) == 0
