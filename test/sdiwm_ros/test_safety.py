import numpy as np
import pytest

from sdiwm_ros.safety import CommandGuard, Watchdog

LIMITS = np.array([1.0, 2.0])


def test_a_command_within_the_limits_passes_unchanged():
    verdict = CommandGuard(LIMITS).check(np.array([0.5, -2.0]))
    assert verdict.velocity.tolist() == [0.5, -2.0]
    assert not verdict.safe_stop


def test_a_command_beyond_the_limits_is_clipped_and_counted():
    guard = CommandGuard(LIMITS)
    assert guard.check(np.array([5.0, -5.0])).velocity.tolist() == [1.0, -2.0]
    assert guard.clipped == 1


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [0.0, np.inf], [0.0], [0.0, 0.0, 0.0], []])
def test_what_is_no_command_stops_the_arm_and_says_why(bad):
    guard = CommandGuard(LIMITS)
    verdict = guard.check(np.array(bad))
    assert verdict.velocity.tolist() == [0.0, 0.0]
    assert verdict.reason
    assert guard.refused == 1


def test_a_watchdog_expires_after_its_timeout_and_before_the_first_sign():
    watchdog = Watchdog(0.1)
    assert watchdog.expired(0.0)
    watchdog.feed(10.0)
    assert not watchdog.expired(10.09)
    assert watchdog.expired(10.11)
