import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdiwm_ros.clock import ClockWatch

MS = 1_000_000


class Clocks:
    def __init__(self, simulated=False):
        self.wall, self.steady = 10**18, 10**12
        self.watch = ClockWatch(lambda: self.wall, simulated, lambda: self.steady)
        self.watch.look()

    def pass_time(self, ms, wall_ms=None):
        self.steady += int(ms * MS)
        self.wall += int((ms if wall_ms is None else wall_ms) * MS)
        return self.watch.look()


@given(st.lists(st.floats(0, 100_000), max_size=30))
def test_time_that_passes_is_no_jump_however_long_nobody_looked(pauses):
    clocks = Clocks()
    assert not any(clocks.pass_time(pause) for pause in pauses)
    assert clocks.watch.jumps == 0


@pytest.mark.parametrize("leap_ms", [-3_600_000, -30, 30, 3_600_000])
def test_a_leap_either_way_is_told_once_and_counted(leap_ms):
    clocks = Clocks()
    assert clocks.pass_time(5, 5 + leap_ms) == pytest.approx(leap_ms * 1e-3)
    assert clocks.pass_time(5) == 0.0
    assert clocks.watch.jumps == 1


def test_a_slew_of_the_clock_is_no_jump():
    clocks = Clocks()
    assert not any(clocks.pass_time(100, 100.05) for _ in range(1000))


@pytest.mark.parametrize("wall_ms", [0, 20, 300])
def test_simulated_time_may_stand_still_lag_and_catch_up(wall_ms):
    assert Clocks(simulated=True).pass_time(100, wall_ms) == 0.0


@pytest.mark.parametrize("wall_ms", [-5, 1000])
def test_simulated_time_that_goes_back_or_leaps_ahead_is_a_jump(wall_ms):
    assert Clocks(simulated=True).pass_time(5, wall_ms) != 0.0


def test_two_readings_that_were_torn_apart_say_nothing():
    readings = iter([0, 0, 10 * MS, 60 * MS, 70 * MS, 70 * MS])
    watch = ClockWatch(lambda: 0, monotonic=lambda: next(readings))
    watch.look()
    assert watch.look() == 0.0
    assert watch.look() == pytest.approx(-0.07)
