"""Node `simulator`: a MuJoCo task in real time, with the topics of a real arm and its camera.

The only place in `sdiwm_ros` that knows the simulator. Everything happens in one thread: the
executor waits for commands until the next tick is due.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32MultiArray, Float64MultiArray, String

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.episodes import Episodes
from sdiwm_ros.messages import (
    image_message,
    joint_state_message,
    measured_message,
    read_command,
    time_message,
)
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST, ManagedNode, run_node
from sdiwm_ros.realtime import Deadlines, LatestSlot, Samples
from sdiwm_ros.recording import EpisodeRecord
from sdiwm_ros.safety import CommandGuard, Watchdog
from sdiwm_ros.signals import CommandKind

HEARING = 0.1  # s between instructions that are acted on; of those in between the last is

TaskMaker = Callable[[str, float | None], Any]


def make_named_task(name: str, physics_dt: float | None) -> Any:
    """Build a task of `sdiwm_sim` by name, with ticks of its own length or of `physics_dt` s."""
    from sdiwm_sim.task import make_task

    return make_task(name, physics_dt)


def open_viewer(task: Any) -> Any:
    """Open a window on the task."""
    from sdiwm_sim.viewer import Viewer

    return Viewer(task)


class SimulatorNode(ManagedNode):
    """Steps the task on absolute deadlines; holds the arm when no command comes in time."""

    def __init__(self, make_task: TaskMaker = make_named_task) -> None:
        super().__init__("simulator")
        self._make_task = make_task
        self._latency_ms = Samples()
        self._simulated_ns = 0

    def clock(self) -> int:
        """Simulated time where this node is everybody's clock."""
        return self._simulated_ns if self.given["publish_clock"] else super().clock()

    def configure(self) -> None:
        parameters = self.given
        self._size = parameters["image_size"]
        rate = parameters["physics_rate"]
        self._task = self._make_task(parameters["task"], 1.0 / rate if rate else None)
        self._task.render(self._size)  # opens the GL context before any deadline runs
        self._viewer = None if parameters["headless"] else open_viewer(self._task)
        self.diagnostics.hardware = self._task.name
        self._limits = np.asarray(self._task.action_limit, dtype=np.float64)
        self._guard = CommandGuard(self._limits)
        self._running = not parameters["wait_for_planner"]
        self._deadlines = Deadlines(self._task.physics_dt)
        self._image = self.create_publisher(Image, "camera/image_raw", NEWEST)
        if parameters["publish_clock"]:
            self._time = self.create_publisher(Clock, "/clock", NEWEST)
        self._joints = self.create_publisher(JointState, "joint_states", NEWEST)
        self._instruction = self.create_publisher(String, "instruction", LATCHED)
        self._episode = self.create_publisher(String, "~/episode", COMMANDED)
        # What no robot's sensors tell, for whoever turns a recording into training data.
        self._goal = self.create_publisher(String, "~/goal", LATCHED)
        self._goal_cost = self.create_publisher(Float32MultiArray, "~/goal_cost", NEWEST)
        self._world_state = self.create_publisher(Float32MultiArray, "~/state", NEWEST)
        self._episodes = Episodes(
            self._task, parameters["seed"], parameters["episodes"], parameters["instruction"],
            room=self._recorded_ticks(),
        )  # fmt: skip

    def _recorded_ticks(self) -> int:
        """How many ticks the record has room for."""
        if not self.given["record_to"]:
            return 0
        return round(60.0 * self.given["record_minutes"] / self._task.physics_dt)

    def activate(self) -> None:
        self._watchdog = Watchdog(self.given["command_timeout"])
        self._velocity = self._guard.stop()
        self._was_silent = True
        self._unheard: deque[str] = deque(maxlen=8)
        self._said: LatestSlot[str] = LatestSlot()
        self._heard_at = 0.0
        self._since_picture = float("inf")
        topic = self.given["command_topic"]
        self.create_subscription(Float64MultiArray, topic, self._on_command, NEWEST)
        self.create_subscription(String, "instruction", self._on_instruction, COMMANDED)
        self._announce()
        self._start_clock()

    def _announce(self) -> None:
        """Say the instruction of the current episode."""
        self._unheard.append(self._task.instruction)
        self._instruction.publish(String(data=self._task.instruction))
        self._tell_goal()

    def _tell_goal(self) -> None:
        """The name of the goal that the instruction in force means; empty for none or several."""
        goal = self._task.goal
        self._goal.publish(String(data="" if goal is None else self._task.goals[goal]))

    def _on_instruction(self, message: String) -> None:
        if message.data in self._unheard:  # our own
            self._unheard.remove(message.data)
        else:
            self._said.put(message.data)

    def _hear(self) -> None:
        """Act on the newest instruction, unless another was just acted on."""
        now = time.monotonic()
        sentence = self._said.take(now) if now - self._heard_at > HEARING else None
        if sentence is not None and not self._episodes.exhausted:
            self._heard_at = now
            self._episodes.change(sentence)
            self._tell_goal()

    def _on_command(self, message: Float64MultiArray) -> None:
        heard, received = time.monotonic(), self.clock()
        record = self._episodes.record
        try:
            command = read_command(message)
        except SdiwmError as error:
            record.refused_commands += 1
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        verdict = self._guard.check(command.velocity)
        record.refused_commands += verdict.safe_stop
        self._velocity = verdict.velocity
        self._watchdog.feed(heard)
        if command.kind is CommandKind.PLAN and not self._running:
            self._running = True
            self._start_clock()
        if self._running:
            record.add_command(received, command)
        if command.kind is CommandKind.PLAN and command.stamp_ns:
            self._latency_ms.add((received - command.stamp_ns) * 1e-6)

    def _start_clock(self) -> None:
        self._deadlines.restart()
        self._started = time.monotonic()
        self._ticks = 0

    def idle_for(self) -> float:
        return self._deadlines.remaining()

    def tick(self) -> None:
        """Where the next tick is due: step, publish, render if the camera is due."""
        if self._deadlines.remaining() > 0:
            return
        self._hear()
        self._simulated_ns += round(1e9 * self._task.physics_dt)
        ended = None
        if self._running and not self._episodes.exhausted:
            now = self.clock()  # before it is judged how old the command is
            ended = self._episodes.step(self._action(), now)
            self._ticks += 1
        stamp = self.clock()
        if self.given["publish_clock"]:
            self._time.publish(Clock(clock=time_message(stamp)))
        self._joints.publish(
            joint_state_message(self._task.joint_names, self._task.proprio(), stamp)
        )
        self._since_picture += self._task.physics_dt
        if ended is not None:
            self._report(ended)
            self._since_picture = float("inf")  # the new layout must be seen at once
        if self._since_picture >= self._task.camera_period - 1e-9:
            self._show(stamp)
        self._deadlines.advance()

    def _show(self, stamp: int) -> None:
        """Publish a picture, and with it what no sensor tells."""
        self._image.publish(image_message(self._task.render(self._size), stamp, "camera"))
        costs, state = self._task.goal_costs(), self._task.state()
        self._goal_cost.publish(measured_message("goal_cost", costs, stamp))
        self._world_state.publish(measured_message("state", state, stamp))
        if self._viewer is not None:
            self._viewer.refresh()
        fresh = self._since_picture == float("inf")
        self._since_picture = 0.0 if fresh else self._since_picture - self._task.camera_period

    def _action(self) -> np.ndarray:
        """The commanded velocity as an action (A,) in [-1, 1]; rest where commands ceased."""
        self._watchdog.timeout = self.given["command_timeout"]
        silent = self._watchdog.expired(time.monotonic())
        if silent:
            self._episodes.record.command_timeouts += not self._was_silent
            self._velocity = self._guard.stop()
        self._was_silent = silent
        return (self._velocity / self._limits).astype(np.float32)

    def _report(self, ended: EpisodeRecord) -> None:
        content = asdict(ended) | {
            "ending": ended.ending,
            "goals": self._task.goals,
            "real_time_factor": self._real_time_factor(),
            "finished": self._episodes.exhausted,
        }
        self._episode.publish(String(data=json.dumps(content)))
        self.get_logger().info(f"episode {ended.index}: '{ended.instruction}': {ended.ending}")
        if not self._episodes.exhausted:
            self._announce()

    def _real_time_factor(self) -> float:
        """Simulated seconds for each second of wall time since the first episode began."""
        elapsed = time.monotonic() - self._started
        return self._ticks * self._task.physics_dt / elapsed if elapsed > 0 else 1.0

    def assess(self) -> Health:
        p50, p99 = self._latency_ms.percentiles(50, 99)
        record = self._episodes.record
        values = {
            "episode": self._episodes.current.index,
            "observation_to_action_p50_ms": p50,
            "observation_to_action_p99_ms": p99,
            "overruns": self._deadlines.overruns,
            "command_timeouts": record.command_timeouts,
            "refused_commands": record.refused_commands,
        }
        if not self._running:
            return Health(Level.OK, "waiting for the planner's first command", values)
        values["real_time_factor"] = self._real_time_factor()
        if self._watchdog.expired(time.monotonic()):
            return Health(Level.ERROR, "no command in time: joints held at rest", values)
        return Health(Level.OK, "simulating", values)

    def cleanup(self) -> None:
        record = self._episodes.record
        if self._viewer is not None:
            self._viewer.close()
        record.tick_overruns = self._deadlines.overruns
        record.lost_periods = self._deadlines.lost_periods
        if self.given["record_to"]:
            record.save(Path(self.given["record_to"]))


def main(argv: Sequence[str] | None = None, make_task: TaskMaker = make_named_task) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(lambda: SimulatorNode(make_task), argv)


if __name__ == "__main__":
    sys.exit(main())
