"""Stands between the simulator and the graph, and hears what reaches the robot.

Sensors and the planner's commands pass through streams of the injector; a stream's `transform`
changes or drops what passes. Everything is in one thread: `spin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import MessageInfo
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.diagnostics import Health, read_diagnostics
from sdiwm_ros.faults.measure import Heard
from sdiwm_ros.messages import read_command, time_message
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import NEWEST
from sdiwm_ros.robot import RobotDescription
from sdiwm_ros.signals import now_ns

CAMERA, JOINTS, COMMANDS, CLOCK = "camera/image_raw", "joint_states", "planner/command", "/clock"
TRUE_CLOCK = "/faults/clock"
HEARING = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=100
)
"""For what must be counted: no command may be overwritten before it is noted."""

Transform = Callable[[bytes], bytes | None]
"""What becomes of a serialised message; None: nothing arrives."""


def before(topic: str) -> str:
    """Where a topic's publisher speaks, so that the injector can stand in between."""
    return f"faults/{topic}"


REMAPPED = {
    "simulator": {CAMERA: before(CAMERA), JOINTS: before(JOINTS), CLOCK: TRUE_CLOCK},
    "planner": {COMMANDS: before(COMMANDS)},
}
"""By node: topics that it publishes to the injector instead."""


@dataclass
class Stream:
    """One topic on its way; `newest` is the last message as it came."""

    publish: Callable[[bytes], None]
    transform: Transform | None = None
    newest: bytes = b""

    def __call__(self, message: bytes) -> None:
        self.newest = message
        changed = message if self.transform is None else self.transform(message)
        if changed is not None:
            self.publish(changed)


@dataclass(frozen=True)
class Said:
    """A node's word on /diagnostics and when it was heard (monotonic s)."""

    at: float
    node: str
    health: Health


class Injector(Monitor):
    """See the module's docstring.

    Args:
        environment: of the graph; see `graph.private_environment`.
        robot: whose command topic is listened to.
        simulated: the graph runs on the simulator's clock.
    """

    def __init__(
        self, environment: Mapping[str, str], robot: RobotDescription, simulated: bool = False
    ) -> None:
        super().__init__(environment)
        self._robot, self._simulated = robot, simulated
        self.streams: dict[str, Stream] = {}
        self.commands: list[Heard] = []
        self.said: list[Said] = []
        self.jumped_ns = 0  # what the clock and every stamp are ahead of the simulator's
        self._time_ns = 0

    def __enter__(self) -> Injector:
        super().__enter__()
        self._relay(Image, CAMERA)
        self._relay(JointState, JOINTS)
        self._relay(Float64MultiArray, COMMANDS)
        topic = self._robot.command_topic
        self._node.create_subscription(Float64MultiArray, topic, self._on_command, HEARING)
        if self._simulated:
            self._clock = self._node.create_publisher(Clock, CLOCK, HEARING)
            self._node.create_subscription(Clock, TRUE_CLOCK, self._on_clock, HEARING)
        return self

    def forget(self) -> None:
        """Begin to note commands and diagnostics anew."""
        self.commands.clear()
        self.said.clear()

    def clock(self) -> int:
        """The graph's clock, ns."""
        return self._time_ns + self.jumped_ns if self._simulated else now_ns()

    def set_parameter(self, node: str, name: str, value: ParameterValue) -> str:
        """Set a parameter of a running node: "" where it was taken, else the node's words.

        Raises:
            SdiwmError: no answer.
        """
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        result = self.call(SetParameters, f"{node}/set_parameters", request).results[0]
        return "" if result.successful else str(result.reason)

    def get_parameter(self, node: str, name: str) -> ParameterValue | None:
        """A parameter of a running node; None where it has none of that name.

        Raises:
            SdiwmError: no answer.
        """
        request = GetParameters.Request(names=[name])
        values = self.call(GetParameters, f"{node}/get_parameters", request).values
        return values[0] if values else None

    def publish(self, topic: str, message: bytes) -> None:
        """Say something on a stream's topic, beside what passes."""
        self.streams[topic].publish(message)

    def _relay(self, kind: Any, topic: str) -> None:
        publisher = self._node.create_publisher(kind, topic, NEWEST)
        self.streams[topic] = Stream(publisher.publish)
        self._node.create_subscription(kind, before(topic), self.streams[topic], NEWEST, raw=True)

    def _on_clock(self, message: Clock) -> None:
        self._time_ns = int(message.clock.sec) * 1_000_000_000 + int(message.clock.nanosec)
        self._clock.publish(Clock(clock=time_message(self.clock())))

    def _on_command(self, message: Float64MultiArray, info: MessageInfo) -> None:
        """Notes a command as of when it was sent: this process may be late."""
        late = max(0.0, (time.time_ns() - info["source_timestamp"]) * 1e-9)
        try:
            command = read_command(message)
        except SdiwmError:
            return
        age = (self.clock() - command.stamp_ns) * 1e-9 - late
        heard = Heard(time.monotonic() - late, command.kind, command.velocity, age)
        self.commands.append(heard)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        super()._on_diagnostics(message)
        at = time.monotonic()
        self.said += [Said(at, node, h) for node, h in read_diagnostics(message).items()]


def speeds(heard: Heard, limits: NDArray[np.float64]) -> float:
    """The fastest joint of a command, as a share of its limit."""
    return float(np.abs(heard.velocity / limits).max()) if heard.velocity.size else 0.0
