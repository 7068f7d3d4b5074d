import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Float32MultiArray, Float64MultiArray

from sdiwm_model.errors import SdiwmError
from sdiwm_ros import messages
from sdiwm_ros.signals import Command, CommandKind, Goal, Latent


def test_a_picture_comes_back_as_it_was_sent():
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    message = messages.image_message(image, 1_700_000_000_123_456_789, "camera")
    np.testing.assert_array_equal(messages.read_image(message), image)
    assert messages.stamp_of(message) == 1_700_000_000_123_456_789


@pytest.mark.parametrize("damage", [{"encoding": "bgr8"}, {"height": 63}, {"step": 5}])
def test_a_picture_that_is_not_what_it_says_is_refused(damage):
    message = messages.image_message(np.zeros((64, 64, 3), np.uint8), 0, "camera")
    for field, value in damage.items():
        setattr(message, field, value)
    with pytest.raises(SdiwmError, match="image"):
        messages.read_image(message)


def test_joint_states_carry_positions_then_velocities():
    proprio = np.arange(8, dtype=np.float32)
    message = messages.joint_state_message(("a", "b", "c", "d"), proprio, 5)
    assert list(message.position) == [0.0, 1.0, 2.0, 3.0]
    assert list(message.velocity) == [4.0, 5.0, 6.0, 7.0]


def test_a_latent_keeps_the_stamp_of_its_observation():
    latent = Latent(np.linspace(-1, 1, 32, dtype=np.float32), 1_700_000_000_123_456_789, 7)
    read = messages.read_latent(messages.latent_message(latent))
    np.testing.assert_array_equal(read.z, latent.z)
    assert (read.stamp_ns, read.image_ns) == (latent.stamp_ns, 7)


def test_a_refused_instruction_travels_as_a_goal_without_a_vector():
    read = messages.read_goal(messages.goal_message(Goal(None, "sing = a song")))
    assert read.c is None
    assert read.instruction == "sing = a song"


def test_a_command_says_where_it_came_from():
    command = Command(np.array([0.5, -1.0]), 42, CommandKind.FALLBACK, 3, 2**32 - 1, 12, 41)
    read = messages.read_command(messages.command_message(command))
    np.testing.assert_array_equal(read.velocity, command.velocity)
    assert (read.stamp_ns, read.kind, read.goal) == (42, CommandKind.FALLBACK, 3)
    assert (read.plan, read.number, read.before_ns) == (2**32 - 1, 12, 41)


def test_a_command_of_another_controller_needs_no_labels():
    read = messages.read_command(Float64MultiArray(data=[1.0, 2.0]))
    assert read.kind is CommandKind.PLAN
    assert read.velocity.tolist() == [1.0, 2.0]


def test_a_vector_of_another_kind_is_not_taken_for_a_latent():
    with pytest.raises(SdiwmError, match="latent"):
        messages.read_latent(messages.goal_message(Goal(np.zeros(16, np.float32), "red")))
    with pytest.raises(SdiwmError, match="latent"):
        messages.read_latent(Float32MultiArray())


def test_an_imagined_path_keeps_its_points():
    points = np.random.default_rng(0).normal(size=(17, 3)).astype(np.float32)
    read, stamp = messages.read_path(messages.path_message(points, 9))
    np.testing.assert_array_equal(read, points)
    assert stamp == 9
