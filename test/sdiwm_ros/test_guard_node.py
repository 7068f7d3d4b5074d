"""The guard in a process of its own; the test is planner, robot and operator."""

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from sdiwm_ros.diagnostics import Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.messages import command_message, joint_state_message, read_command
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST
from sdiwm_ros.robot import load_robot
from sdiwm_ros.signals import Command, CommandKind, now_ns

NAMES = load_robot("reach_arm").joint_names
ALL = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=100)
WANTED = np.array([0.3, 0.0, -0.1, 0.0])


class Robot(Monitor):
    """Says where its joints are, and commands WANTED, a hundred times a second."""

    def __enter__(self):
        super().__enter__()
        self.planning = True
        self.wanted, self.heard, self.would = WANTED, [], []
        node = self._node
        self._joints = node.create_publisher(JointState, "joint_states", NEWEST)
        self._planned = node.create_publisher(Float64MultiArray, "planner/command", NEWEST)
        self.button = node.create_publisher(Bool, "emergency_stop", COMMANDED)
        topic, dry = "velocity_controller/commands", "guard/would_send"
        listen = node.create_subscription
        listen(Float64MultiArray, topic, lambda m: self.heard.append(read_command(m)), ALL)
        listen(Float64MultiArray, dry, lambda m: self.would.append(read_command(m)), ALL)
        node.create_timer(0.01, self._act)
        return self

    def _act(self):
        stamp = now_ns()
        others = joint_state_message(("gripper", *NAMES), np.zeros(10), stamp)
        self._joints.publish(others)
        if self.planning:
            command = Command(self.wanted, stamp, CommandKind.PLAN, 1)
            self._planned.publish(command_message(command))

    def moves(self):
        return bool(self.heard) and self.heard[-1].velocity.tolist() == self.wanted.tolist()

    def is_safe(self):
        last = self.heard[-1] if self.heard else None
        return last and last.kind is CommandKind.SAFE and not last.velocity.any()


@pytest.fixture
def robot(tmp_path, request):
    parameters = {"guard": getattr(request, "param", {})}
    environment = private_environment()
    with Graph(parameters, environment, tmp_path, ["guard"]) as graph, Robot(environment) as robot:
        robot.graph = graph
        yield robot


def test_an_emergency_stop_by_button_or_by_service_holds_until_it_is_reset(robot, until):
    until(robot, robot.moves)
    robot.button.publish(Bool(data=True))
    until(robot, robot.is_safe)
    until(robot, lambda: "pressed" in robot.health_of("guard").message)
    refused = robot.call(Trigger, "guard/reset", Trigger.Request())
    assert not refused.success
    assert "release" in refused.message
    robot.button.publish(Bool(data=False))
    robot.spin(0.2)
    assert robot.is_safe()
    assert robot.call(Trigger, "guard/reset", Trigger.Request()).success
    until(robot, robot.moves)
    assert robot.call(Trigger, "guard/emergency_stop", Trigger.Request()).success
    until(robot, robot.is_safe)
    robot.spin(0.2)
    assert robot.is_safe()
    assert robot.health_of("guard").level is Level.ERROR


def test_a_button_that_was_pressed_before_the_guard_was_there_is_heard(tmp_path, until):
    environment = private_environment()
    with Robot(environment) as robot:
        latched = robot._node.create_publisher(Bool, "emergency_stop", LATCHED)
        latched.publish(Bool(data=True))
        with Graph({}, environment, tmp_path, ["guard"]):
            until(robot, lambda: "pressed" in robot.health_of("guard").message)
            until(robot, robot.is_safe)
            robot.heard.clear()
            until(robot, lambda: len(robot.heard) > 4)
            assert not any(command.velocity.any() for command in robot.heard)


def test_an_emergency_stop_outlives_deactivation(robot, until):
    until(robot, robot.moves)
    robot.call(Trigger, "guard/emergency_stop", Trigger.Request())
    for label in ("deactivate", "cleanup", "configure", "activate"):
        request = ChangeState.Request(transition=Transition(label=label))
        assert robot.call(ChangeState, "guard/change_state", request).success
    robot.heard.clear()
    until(robot, lambda: len(robot.heard) > 4)
    assert not any(command.velocity.any() for command in robot.heard)


def test_deactivation_stops_forwarding_slows_down_and_sends_the_safe_action_last(robot, until):
    until(robot, robot.moves)
    robot.heard.clear()
    request = ChangeState.Request(transition=Transition(label="deactivate"))
    assert robot.call(ChangeState, "guard/change_state", request).success
    until(robot, robot.is_safe)
    kinds = [command.kind for command in robot.heard]
    stop = kinds.index(CommandKind.HOLD)
    assert CommandKind.PLAN not in kinds[stop:]


def test_a_guard_that_is_terminated_slows_down_and_sends_the_safe_action_last(robot, until):
    until(robot, robot.moves)
    robot.heard.clear()
    robot.graph.signal("guard", signal.SIGTERM)
    assert robot.graph.wait("guard") == 0
    until(robot, robot.is_safe)
    kinds = [command.kind for command in robot.heard]
    assert CommandKind.PLAN not in kinds[kinds.index(CommandKind.HOLD) :]
    speeds = [abs(command.velocity[0]) for command in robot.heard]
    assert speeds == sorted(speeds, reverse=True)


@pytest.mark.parametrize("robot", [{"dry_run": True}], indirect=True)
def test_a_dry_run_sends_nothing_to_the_controller_and_says_so(robot, until):
    until(robot, lambda: any(command.velocity.any() for command in robot.would))
    until(robot, lambda: "dry run" in robot.health_of("guard").message)
    robot.graph.signal("guard", signal.SIGINT)
    assert robot.graph.wait("guard") == 0
    robot.spin(0.1)
    assert robot.heard == []


def test_a_command_beyond_the_limits_is_held_within_them_and_counted(robot, until):
    until(robot, robot.moves)
    robot.wanted = np.array([50.0, 0.0, 0.0, 0.0])
    robot.spin(0.3)
    assert max(command.velocity[0] for command in robot.heard) == 1.5
    until(robot, lambda: int(robot.health_of("guard").values["limited"]) > 10)


def test_a_planner_that_falls_silent_is_answered_and_may_come_back(robot, until):
    until(robot, robot.moves)
    robot.planning = False
    until(robot, robot.is_safe)
    until(robot, lambda: "no command for 100 ms" in robot.health_of("guard").message)
    robot.planning = True
    until(robot, robot.moves)
    until(robot, lambda: robot.health_of("guard").level is Level.OK)
