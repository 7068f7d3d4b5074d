"""What the observer trusts, without ROS."""

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.observation import Observer, SensorTimeouts

MS = 1_000_000
IMAGE = np.zeros((64, 64, 3), np.uint8)
PROPRIO = np.zeros(8, np.float32)


class Runtime:
    def encode_image(self, image):
        return np.ones(4, np.float32)

    def fuse(self, features, proprio):
        return np.full(32, features[0], np.float32)


class Time:
    """The clock of the stamps and the one that cannot jump."""

    def __init__(self):
        self.stamps, self.steady = 10**18, 0

    def pass_(self, ns):
        self.stamps += ns
        self.steady += ns


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def observer(time):
    watch = ClockWatch(lambda: time.stamps, monotonic=lambda: time.steady)
    return Observer(Runtime(), lambda: SensorTimeouts(0.2, 0.1), lambda: time.stamps, watch)


def test_a_fresh_joint_state_and_picture_make_a_latent_of_the_joint_states_stamp(observer, time):
    observer.see(IMAGE, time.stamps)
    time.pass_(5 * MS)
    assert observer.feel(PROPRIO, time.stamps - MS).stamp_ns == time.stamps - MS


@pytest.mark.parametrize(
    ("age_ms", "words"), [(-21, "in the future"), (101, "already 101 ms old when it arrives")]
)
def test_a_joint_state_whose_stamp_cannot_be_trusted_is_refused(observer, time, age_ms, words):
    observer.see(IMAGE, time.stamps)
    with pytest.raises(SdiwmError, match=words):
        observer.feel(PROPRIO, time.stamps - age_ms * MS)


@pytest.mark.parametrize(("age_ms", "words"), [(-21, "in the future"), (201, "201 ms old")])
def test_a_picture_whose_stamp_cannot_be_trusted_blinds_until_the_next(
    observer, time, age_ms, words
):
    observer.see(IMAGE, time.stamps)
    with pytest.raises(SdiwmError, match=words):
        observer.see(IMAGE, time.stamps - age_ms * MS)
    with pytest.raises(SdiwmError, match="no picture"):
        observer.feel(PROPRIO, time.stamps)
    observer.see(IMAGE, time.stamps)
    observer.feel(PROPRIO, time.stamps)


def watch_for_half_a_second(observer, time, picture_of, turn):
    """Pictures every 50 ms while the first joint turns by `turn` rad in all."""
    for step in range(10):
        proprio = PROPRIO.copy()
        proprio[0] = turn * step / 9
        observer.see(picture_of(step), time.stamps)
        observer.feel(proprio, time.stamps)
        time.pass_(50 * MS)


def test_pictures_that_stay_the_same_while_the_arm_moves_are_those_of_a_frozen_camera(
    observer, time
):
    with pytest.raises(SdiwmError, match="not changed for 200 ms while a joint moved"):
        watch_for_half_a_second(observer, time, lambda step: IMAGE, 0.5)


def test_joints_that_moved_unheard_before_the_picture_stood_still_prove_nothing(observer, time):
    turned = PROPRIO + 1.0
    observer.see(IMAGE, time.stamps)
    observer.feel(PROPRIO, time.stamps)
    observer.see(IMAGE + 1, time.stamps)  # the arm is elsewhere, but no joint state says so
    time.pass_(300 * MS)
    observer.see(IMAGE + 1, time.stamps)
    observer.feel(turned, time.stamps)
    observer.see(IMAGE + 1, time.stamps)
    observer.feel(turned, time.stamps)


@pytest.mark.parametrize(("noise", "turn"), [(0, 0.009), (1, 0.5)])
def test_a_resting_arm_may_look_the_same_and_a_moving_one_needs_no_more_than_one_bit(
    observer, time, noise, turn
):
    def picture(step):
        image = IMAGE.copy()
        image[3, 5, 1] = noise * (step % 2)
        return image

    watch_for_half_a_second(observer, time, picture, turn)


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_after_a_jump_of_the_clock_only_a_new_picture_is_trusted(observer, time, jump_s):
    observer.see(IMAGE, time.stamps)
    time.pass_(5 * MS)
    time.stamps += jump_s * 1000 * MS
    with pytest.raises(SdiwmError, match=f"the clock jumped by {jump_s}"):
        observer.feel(PROPRIO, time.stamps)
    assert observer.clock_jumps == 1
    observer.see(IMAGE, time.stamps)
    observer.feel(PROPRIO, time.stamps)


def test_a_timeout_that_changes_acts_at_once(time):
    timeouts = SensorTimeouts(0.2, 0.1)
    watch = ClockWatch(lambda: time.stamps, monotonic=lambda: time.steady)
    observer = Observer(Runtime(), lambda: timeouts, lambda: time.stamps, watch)
    observer.see(IMAGE, time.stamps)
    time.pass_(150 * MS)
    observer.feel(PROPRIO, time.stamps)
    timeouts = SensorTimeouts(0.1, 0.1)
    with pytest.raises(SdiwmError, match="more than 100 ms old"):
        observer.feel(PROPRIO, time.stamps)
