from hypothesis import given
from hypothesis import strategies as st

from sdiwm_ros.takeover import Takeover

TIMEOUT, RECOVERY = 0.05, 0.5


def follow(takeover, start, seconds, period=0.01):
    """Plans every `period`; the time after the last of them."""
    for k in range(round(seconds / period)):
        takeover.heard(start + k * period)
    return start + (round(seconds / period) - 1) * period


def test_the_host_plans_until_the_chip_has_been_well_long_enough():
    takeover = Takeover(TIMEOUT, RECOVERY)
    assert not takeover.chip_plans(0.0)
    now = follow(takeover, 1.0, 0.45)
    assert not takeover.chip_plans(now)
    now = follow(takeover, now + 0.01, 0.1)
    assert takeover.chip_plans(now)


def test_the_host_takes_over_as_soon_as_the_timeout_has_passed():
    takeover = Takeover(TIMEOUT, RECOVERY)
    now = follow(takeover, 0.0, 1.0)
    assert takeover.chip_plans(now + TIMEOUT - 0.001)
    assert not takeover.chip_plans(now + TIMEOUT + 0.001)
    assert takeover.takeovers == 1


def test_one_plan_after_a_silence_is_no_recovery():
    takeover = Takeover(TIMEOUT, RECOVERY)
    now = follow(takeover, 0.0, 1.0)
    takeover.heard(now + 10.0)
    assert not takeover.chip_plans(now + 10.0)
    later = follow(takeover, now + 10.01, 0.6)
    assert takeover.chip_plans(later)
    assert (takeover.takeovers, takeover.returns) == (1, 2)


@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.booleans()), max_size=200))
def test_whatever_comes_when_the_chip_is_followed_only_while_it_is_well(events):
    takeover, now, plans = Takeover(TIMEOUT, RECOVERY), 0.0, []
    for pause, is_plan in events:
        now += pause
        if is_plan:
            takeover.heard(now)
            plans.append(now)
        unbroken = now
        for at in reversed(plans):
            if unbroken - at > TIMEOUT:
                break
            unbroken = at
        well = bool(plans) and now - plans[-1] <= TIMEOUT
        if takeover.chip_plans(now):
            assert well
            assert plans[-1] - unbroken >= RECOVERY
        elif well and is_plan:
            assert plans[-1] - unbroken < RECOVERY
    assert 0 <= takeover.returns - takeover.takeovers <= 1
