import threading
import time

import numpy as np
import pytest

from sdiwm_ros.realtime import Deadlines, LatestSlot, Samples, Worker


def test_a_slot_hands_over_the_newest_value_and_counts_what_was_skipped():
    slot = LatestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert slot.take(time.monotonic()) == 3
    assert slot.take(time.monotonic()) is None
    assert slot.skipped == 2


def test_a_waiting_reader_is_woken_by_a_value():
    slot = LatestSlot()
    found = []
    reader = threading.Thread(target=lambda: found.append(slot.take(time.monotonic() + 5)))
    reader.start()
    slot.put("fresh")
    reader.join(5)
    assert found == ["fresh"]


def test_a_late_tick_does_not_move_the_deadlines_after_it(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sdiwm_ros.realtime.time.monotonic", lambda: now[0])
    deadlines = Deadlines(0.005)
    deadlines.restart()
    now[0] += 0.012  # 7 ms late
    deadlines.advance()
    assert deadlines.next == pytest.approx(100.010)
    assert deadlines.overruns == 1
    assert deadlines.lost_periods == 0


def test_a_loop_far_behind_starts_anew_and_says_how_much_was_lost(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sdiwm_ros.realtime.time.monotonic", lambda: now[0])
    deadlines = Deadlines(0.005, patience=20)
    now[0] += 1.0
    deadlines.advance()
    assert deadlines.next == pytest.approx(101.005)
    assert deadlines.lost_periods == 200


def test_samples_keep_the_newest_and_count_all():
    samples = Samples(4)
    for value in range(6):
        samples.add(value)
    np.testing.assert_array_equal(samples.values(), [2, 3, 4, 5])
    assert samples.count == 6
    assert samples.percentiles(50) == [3.5]


def test_percentiles_of_nothing_are_not_a_number():
    assert np.isnan(Samples(4).percentiles(50, 99)).all()


def test_a_worker_that_fails_says_so_instead_of_falling_silent():
    def fail():
        raise RuntimeError("boom")

    died = threading.Event()
    reasons = []
    worker = Worker("w", fail, lambda error: (reasons.append(str(error)), died.set()))
    worker.start()
    assert died.wait(5)
    assert worker.stop()
    assert reasons == ["boom"]
