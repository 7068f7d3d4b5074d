"""What the observer and planner do about sensors that lie; the test is the robot."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from sdiwm_ros.diagnostics import Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.messages import image_message, joint_state_message, read_command
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import NEWEST
from sdiwm_ros.robot import load_robot
from sdiwm_ros.signals import CommandKind, now_ns

NODES = ["observer", "language_goal", "planner", "guard"]
GREY = np.full((64, 64, 3), 128, np.uint8)
STILL = np.zeros(8, np.float32)
JOINTS = load_robot("reach_arm").joint_names


class Robot(Monitor):
    """Publishes whatever the test wants its sensors to say, and keeps the newest command."""

    def __enter__(self):
        super().__enter__()
        self.image, self.proprio, self.command = GREY, STILL, None
        self.encoding = "rgb8"
        self._camera = self._node.create_publisher(Image, "camera/image_raw", NEWEST)
        self._joints = self._node.create_publisher(JointState, "joint_states", NEWEST)
        topic = "velocity_controller/commands"
        self._node.create_subscription(Float64MultiArray, topic, self._on_command, NEWEST)
        self._node.create_timer(0.01, self._sense)
        return self

    def _on_command(self, message):
        self.command = read_command(message)

    def _sense(self):
        stamp = now_ns()
        picture = image_message(self.image, stamp, "camera")
        picture.encoding = self.encoding
        self._camera.publish(picture)
        self._joints.publish(joint_state_message(JOINTS, self.proprio, stamp))

    def moves(self):
        return self.command is not None and self.command.kind is CommandKind.PLAN

    def rests(self):
        return self.command.kind is CommandKind.SAFE and not self.command.velocity.any()


@pytest.mark.parametrize(
    ("sensor", "lie", "words"),
    [
        ("proprio", np.full(8, np.nan, np.float32), "finite"),
        ("proprio", np.zeros(6, np.float32), "velocities"),
        ("image", np.zeros((32, 32, 3), np.uint8), "shape"),
    ],
)
def test_an_observation_that_cannot_be_true_stops_the_arm_until_it_is_over(
    scripted, until, tmp_path, sensor, lie, words
):
    environment = private_environment()
    with Graph({}, environment, tmp_path, NODES), Robot(environment) as robot:
        robot.say("touch the red target")
        until(robot, robot.moves)
        truth = getattr(robot, sensor)
        setattr(robot, sensor, lie)
        until(robot, robot.rests)
        until(robot, lambda: robot.health_of("observer").level is Level.ERROR)
        assert words in robot.health_of("observer").message
        setattr(robot, sensor, truth)
        until(robot, robot.moves)


def test_a_picture_that_cannot_be_read_stays_the_diagnostic_while_it_lasts(
    scripted, until, tmp_path
):
    environment = private_environment()
    with Graph({}, environment, tmp_path, NODES), Robot(environment) as robot:
        robot.say("touch the red target")
        until(robot, robot.moves)
        robot.encoding = "bgr8"
        until(robot, robot.rests)
        until(robot, lambda: robot.health_of("observer").level is Level.ERROR)
        robot.spin(0.5)  # longer than image_timeout: it must not turn into "is the camera alive?"
        assert "the camera must publish rgb8" in robot.health_of("observer").message


def test_a_camera_that_falls_silent_stops_the_arm(scripted, until, tmp_path, monkeypatch):
    environment = private_environment()
    with Graph({}, environment, tmp_path, NODES), Robot(environment) as robot:
        robot.say("touch the red target")
        until(robot, robot.moves)
        silent_since = time.monotonic()
        robot._camera.publish = lambda message: None
        until(robot, robot.rests)
        assert time.monotonic() - silent_since < 0.6
        until(robot, lambda: "picture" in robot.health_of("observer").message)
