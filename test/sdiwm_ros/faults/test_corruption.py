"""Each corruption spoils what it names and leaves the rest alone."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.faults import corruption
from sdiwm_ros.messages import (
    command_message,
    image_message,
    joint_state_message,
    read_command,
    read_image,
    stamp_of,
)
from sdiwm_ros.robot import JointReader, robot_of
from sdiwm_ros.signals import Command, CommandKind

ROBOT = robot_of("", "reach")
NAMES = ROBOT.joint_names
STAMP = 5_000_000_000


def picture(value, stamp=STAMP):
    image = np.full((64, 64, 3), value, np.uint8)
    return bytes(serialize_message(image_message(image, stamp, "camera")))


def joints():
    return bytes(serialize_message(joint_state_message(NAMES, np.arange(8.0), STAMP)))


def command():
    sent = Command(np.arange(4.0), STAMP, CommandKind.PLAN, 3)
    return bytes(serialize_message(command_message(sent)))


def test_a_frozen_camera_repeats_its_picture_with_the_old_stamp_or_a_new_one():
    old = deserialize_message(corruption.frozen(picture(1))(picture(2, 2 * STAMP)), Image)
    assert (old.data[0], stamp_of(old)) == (1, STAMP)
    transform = corruption.frozen_with_new_stamps(picture(1))
    new = deserialize_message(transform(picture(2, 2 * STAMP)), Image)
    assert (new.data[0], stamp_of(new)) == (1, 2 * STAMP)


@pytest.mark.parametrize("index", range(8))
def test_one_number_of_a_joint_state_is_not_a_number(index):
    message = deserialize_message(corruption.joint_not_a_number(index)(joints()), JointState)
    values = np.array([*message.position, *message.velocity])
    assert np.flatnonzero(np.isnan(values)).tolist() == [index]


@pytest.mark.parametrize(
    "edit", [corruption.joints_without_velocities, corruption.joints_of_another_robot]
)
def test_joint_states_of_a_wrong_shape_are_none_of_this_robots(edit):
    spoilt = deserialize_message(corruption.edited(JointState, edit)(joints()), JointState)
    with pytest.raises(SdiwmError):
        JointReader(ROBOT).read(spoilt.name, spoilt.position, spoilt.velocity)


@pytest.mark.parametrize(
    "edit", [corruption.picture_cut_short, corruption.picture_of_wrong_encoding]
)
def test_a_spoilt_picture_cannot_be_read(edit):
    with pytest.raises(SdiwmError):
        read_image(deserialize_message(corruption.edited(Image, edit)(picture(1)), Image))


def test_a_picture_of_another_size_is_a_picture():
    smaller = corruption.edited(Image, corruption.picture_of_wrong_shape)(picture(1))
    assert read_image(deserialize_message(smaller, Image)).shape == (32, 32, 3)


def test_a_command_of_another_time_is_the_same_command():
    moved = corruption.command_of_other_time(-1_000_000_000)(command())
    read = read_command(deserialize_message(moved, Float64MultiArray))
    assert (read.stamp_ns, read.kind, read.goal) == (4_000_000_000, CommandKind.PLAN, 3)
    assert read.velocity.tolist() == [0, 1, 2, 3]


def test_stamps_follow_a_clock_that_jumps():
    jump = [0]
    transform = corruption.shifted(JointState, lambda: jump[0])
    assert stamp_of(deserialize_message(transform(joints()), JointState)) == STAMP
    jump[0] = 10**9
    assert stamp_of(deserialize_message(transform(joints()), JointState)) == STAMP + 10**9
