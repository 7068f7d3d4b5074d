import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_ros.motion import LONGEST_STEP, MotionLimiter
from sdiwm_ros.robot import Joint, RobotDescription, Timeouts

EXACT = 1e-9


def make_robot(*joints):
    return RobotDescription(
        name="test",
        joints=joints,
        camera_topic="c",
        joint_states_topic="j",
        command_topic="v",
        command_interface="velocity",
        safe_action=(0.0,) * len(joints),
        actuation_latency=0.0,
        timeouts=Timeouts(0.1, 0.1),
    )


ROBOT = make_robot(Joint("a", -1.0, 2.0, 1.5, 60.0), Joint("b", None, None, 0.5, 3.0))


@settings(max_examples=100, deadline=None)
@given(
    start=st.floats(-1.0, 2.0),
    steps=st.lists(
        st.tuples(st.floats(0.0005, 0.01), st.floats(-1e6, 1e6), st.booleans()),
        min_size=1,
        max_size=80,
    ),
    acceleration=st.floats(0.5, 200.0),
)
def test_a_joint_never_leaves_its_limits_whatever_is_wanted(start, steps, acceleration):
    robot = make_robot(Joint("a", -1.0, 2.0, 1.5, acceleration))
    limiter, position = MotionLimiter(robot), start
    for elapsed, wild, to_the_end in steps:
        before = limiter.velocity[0]
        wanted = np.array([1e9 if to_the_end else wild])
        velocity = limiter.limit(wanted, np.array([position]), elapsed)[0]
        assert abs(velocity) <= 1.5 + EXACT
        assert abs(velocity - before) <= acceleration * elapsed + EXACT
        position += velocity * elapsed
        assert -1.0 - EXACT <= position <= 2.0 + EXACT


@settings(max_examples=50, deadline=None)
@given(delay=st.integers(0, 2), direction=st.sampled_from([-1e3, 1e3]))
def test_old_positions_moved_on_by_what_was_sent_still_keep_it_inside(delay, direction):
    limiter, positions = MotionLimiter(ROBOT), [0.5]
    for _ in range(1000):
        seen = positions[max(0, len(positions) - 1 - delay)]
        estimate = seen + limiter.velocity[0] * 0.005 * min(delay, len(positions) - 1)
        velocity = limiter.limit(np.array([direction, 0.0]), np.array([estimate, 0.0]), 0.005)
        positions.append(positions[-1] + 0.005 * velocity[0])
    assert min(positions) >= -1.0 - EXACT
    assert max(positions) <= 2.0 + EXACT
    assert max(abs(np.diff(positions))) > 0.99 * 0.005 * 1.5  # and it was not merely slow
    assert abs(positions[-1] - (2.0 if direction > 0 else -1.0)) < 0.01  # and reached the end


def test_what_is_within_all_limits_passes_unchanged():
    limiter = MotionLimiter(ROBOT)
    wanted = np.array([0.2, -0.01])
    assert limiter.limit(wanted, np.array([0.5, 100.0]), 0.005).tolist() == wanted.tolist()


@pytest.mark.parametrize(("position", "wanted", "allowed"), [(2.5, 0.1, 0.0), (2.5, -0.1, -0.1)])
def test_beyond_a_limit_a_joint_may_only_move_back(position, wanted, allowed):
    limiter = MotionLimiter(ROBOT)
    assert limiter.limit(np.array([wanted, 0.0]), np.array([position, 0.0]), 0.005)[0] == allowed


def test_a_long_silence_is_no_licence_for_a_leap():
    limiter = MotionLimiter(ROBOT)
    first = limiter.limit(np.array([1.5, 0.5]), np.array([0.5, 0.0]), 60.0)
    np.testing.assert_allclose(first, np.array([60.0, 3.0]) * LONGEST_STEP)


def test_slowing_down_needs_no_positions_and_keeps_to_the_acceleration():
    limiter = MotionLimiter(ROBOT)
    limiter.velocity = np.array([1.5, -0.5])
    speeds = [limiter.slow_down(np.zeros(2), 0.005) for _ in range(40)]
    np.testing.assert_allclose(speeds[0], [1.2, -0.485])
    assert speeds[5].tolist()[0] == 0.0
    assert not speeds[-1].any()
