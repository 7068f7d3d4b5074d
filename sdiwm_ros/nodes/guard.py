"""Node `guard`: planned commands in, on the controller's topic only what the robot may be given.

A process of its own, so that a planner which is stalled or dead is answered by a command. What it
decides is in `sdiwm_ros.guard`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.guard import RAMP, EmergencyStop, Guard, GuardTiming, Mode
from sdiwm_ros.messages import command_message, read_command
from sdiwm_ros.polling import PolledTopic
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST, ManagedNode, run_node
from sdiwm_ros.realtime import Samples
from sdiwm_ros.robot import JointReader, robot_of
from sdiwm_ros.signals import Command, CommandKind

INPUT = "planner/command"
FAREWELLS = 4  # safe commands at the end: one alone may be lost on its way
SAYING = 0.1  # s between diagnostics that tell of a change


class GuardNode(ManagedNode):
    """The emergency stop is heard, and kept, in every state but unconfigured."""

    def __init__(self) -> None:
        super().__init__("guard")
        self._emergency = EmergencyStop()
        self._delay_ms = Samples()
        self._own_ms = Samples()
        self._said, self._said_at = (Mode.SAFE, ""), 0.0

    def configure(self) -> None:
        self._robot = robot_of(self.given["robot"], self.given["task"])
        self._joints = JointReader(self._robot)
        self.diagnostics.hardware = self._robot.name
        topic = "~/would_send" if self.given["dry_run"] else self._robot.command_topic
        self._command = self.create_publisher(Float64MultiArray, topic, NEWEST)
        # A latched button is heard by a guard that is started after it was pressed; the second
        # subscription hears those that do not latch.
        expected = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
        listen = partial(self.create_subscription, Bool, "emergency_stop", self._on_button)
        listen(LATCHED, event_callbacks=expected)
        listen(COMMANDED)
        self.create_service(Trigger, "~/emergency_stop", self._on_emergency)
        self.create_service(Trigger, "~/reset", self._on_reset)

    def activate(self) -> None:
        timing = GuardTiming(self.given["observation_timeout"], self.given["safe_after"])
        watch = ClockWatch(self.clock, self.simulated_time)
        self._guard = Guard(self._robot, timing, self._send, self.clock, watch, self._emergency)
        self._received: tuple[Command | None, Float64MultiArray | None] = None, None
        self._joint_problem = ""
        topic = self._robot.joint_states_topic
        self._sensed = PolledTopic(self, JointState, topic, NEWEST, self._on_joints)
        self.create_subscription(Float64MultiArray, INPUT, self._on_command, NEWEST)

    def deactivate(self) -> None:
        """Nothing is forwarded from here on: slow down, rest, and send the safe action last."""
        farewells = 0
        while farewells < FAREWELLS:
            farewells += self._guard.farewell(time.monotonic())
            time.sleep(RAMP)

    def idle_for(self) -> float:
        return self._guard.due(time.monotonic())

    def tick(self) -> None:
        now = time.monotonic()
        if self._guard.due(now) <= 0:
            self._sensed.take()
        self._guard.tick(now)
        state = (self._guard.mode, self._guard.problem)
        if state != self._said and now - self._said_at > SAYING:
            self._said, self._said_at = state, now
            self.diagnostics.publish()

    def _send(self, command: Command) -> None:
        """What passes unchanged is sent as the message that it came in: that costs least."""
        unchanged = command is self._received[0]
        self._command.publish(self._received[1] if unchanged else command_message(command))

    def _on_command(self, message: Float64MultiArray) -> None:
        began = time.monotonic()
        try:
            command = read_command(message)
        except SdiwmError as error:
            self._guard.refuse(str(error), began)
            return
        self._sensed.take()
        self._received = command, message
        self._guard.on_command(command, began)
        if command.kind is CommandKind.PLAN:
            self._delay_ms.add((self.clock() - command.stamp_ns) * 1e-6)
            self._own_ms.add((time.monotonic() - began) * 1e3)

    def _on_joints(self, message: JointState, age: float) -> None:
        try:
            proprio = self._joints.read(message.name, message.position, message.velocity)
        except SdiwmError as error:
            self._joint_problem = str(error)
            return
        position = proprio[: len(self._robot.joints)].astype(np.float64)
        if not np.isfinite(position).all():
            self._joint_problem = "joint state: a position is not finite"
            return
        self._joint_problem = ""
        self._guard.on_joints(position, time.monotonic() - age)

    def _on_button(self, message: Bool) -> None:
        self._emergency.press(message.data)

    def _on_emergency(self, request: Trigger.Request, response: Trigger.Response) -> object:
        self._emergency.trigger("the emergency stop was asked for by service")
        response.success, response.message = True, "stopped until ~/reset is called"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> object:
        refusal = self._emergency.reset()
        response.success, response.message = not refusal, refusal or "commands may pass again"
        return response

    def warnings(self) -> list[str]:
        return ["dry run: nothing is sent to the controller"] if self.given["dry_run"] else []

    def assess(self) -> Health:
        guard = self._guard
        delay, own = self._delay_ms.percentiles(50, 99), self._own_ms.percentiles(50, 99)
        values: dict[str, object] = {
            "mode": guard.mode.value,
            "emergency_stop": self._emergency.reason,
            "delay_p50_ms": delay[0],
            "delay_p99_ms": delay[1],
            "own_p50_ms": own[0],
            "own_p99_ms": own[1],
            "limited": guard.limited,
            "refused": guard.refused,
            "stops": guard.stops,
            "clock_jumps": guard.clock_jumps,
            "robot": self._robot.name,
        }
        values |= {f"sent_{kind.value}": count for kind, count in guard.counts.items()}
        if not guard.problem:
            return Health(Level.OK, guard.mode.value, values)
        words = "; ".join(filter(None, [guard.problem, self._joint_problem]))
        level = Level.WARN if guard.problem.startswith("no command yet") else Level.ERROR
        return Health(level, f"{guard.mode.value}: {words}", values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(GuardNode, argv)


if __name__ == "__main__":
    sys.exit(main())
