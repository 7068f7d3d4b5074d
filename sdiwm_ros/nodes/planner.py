"""Node `planner`: latents and a goal in, joint velocity commands out at 250 Hz.

Callbacks only put values into slots. Planning and publishing have a thread each, see
`sdiwm_ros.control`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from std_msgs.msg import Float32MultiArray, Float64MultiArray
from visualization_msgs.msg import MarkerArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import write_json
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.protocols import WAM_BACKENDS
from sdiwm_model.runtime.wam import WamRuntime
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.control import ControlTiming, Fault, Planned, PlanningLoop, SetpointLoop
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.evaluation import PLANNER_FILE
from sdiwm_ros.latency import LatencyCompensation
from sdiwm_ros.markers import plan_markers
from sdiwm_ros.messages import (
    command_message,
    path_message,
    read_chip_plan,
    read_goal,
    read_latent,
)
from sdiwm_ros.model_node import ModelNode
from sdiwm_ros.models import RuntimeLoader, load_named_runtime, warm_up
from sdiwm_ros.polling import PolledTopic
from sdiwm_ros.privileges import schedule_this_thread
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST, RECENT, run_node
from sdiwm_ros.realtime import LatestSlot, Worker
from sdiwm_ros.robot import robot_of
from sdiwm_ros.signals import Command, CommandKind, Latent
from sdiwm_ros.takeover import Takeover

SAYING = 0.1  # s between diagnostics that tell of a change


class PlannerNode(ModelNode):
    """Holds the arm still whenever it has no goal, no fresh observation or a refused one."""

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("planner", load)

    def configure(self) -> None:
        if self.given["plan_source"] == "mcu" and self.given["backend"] in WAM_BACKENDS:
            raise SdiwmError(
                f"planner: a microcontroller takes no latents of the back end "
                f"'{self.given['backend']}': set plan_source to host, or another backend."
            )
        super().configure()
        warm_up(self.runtime)
        self._robot = robot_of(self.given["robot"], self.given["task"])
        self._robot.check_model(self.given["task"], len(self.runtime.manifest.action_limit))
        self._command = self.create_publisher(Float64MultiArray, "~/command", NEWEST)
        self._path = self.create_publisher(Float32MultiArray, "~/imagined_path", NEWEST)
        self._markers = self.create_publisher(MarkerArray, "~/markers", COMMANDED)
        self._build_loops()

    def activate(self) -> None:
        self._workers = [
            Worker("planning", self._planning.step, self._on_death),
            Worker("setpoints", self._setpoints.step, self._on_death),
        ]
        self._said, self._said_at = (False, False), 0.0
        self.create_subscription(Float32MultiArray, "latent", self._on_latent, NEWEST)
        self.create_subscription(Float32MultiArray, "goal", self._on_goal, LATCHED)
        if self._compensation is not None:
            topic = self._robot.command_topic
            self._sent = PolledTopic(self, Float64MultiArray, topic, RECENT, self._on_sent)
        if self._chip is not None:
            self.create_subscription(Float32MultiArray, "mcu/plan", self._on_chip_plan, NEWEST)
        if self.given["imagined_path_rate"] > 0:
            self.create_timer(1.0 / self.given["imagined_path_rate"], self._imagine)
        if isinstance(self.runtime, WamRuntime) and self.given["realtime_priority"] > 1:
            below = self.given["realtime_priority"] // 2  # a chunk may be late, a command may not
            self.runtime.call_where_chunks_are_made(lambda: schedule_this_thread(below))
        for worker in self._workers:
            worker.start()

    def _build_loops(self) -> None:
        parameters, manifest = self.given, self.runtime.manifest
        timing = ControlTiming(
            period=parameters["period"],
            grace=parameters["grace"],
            observation_timeout=parameters["observation_timeout"],
            model_step=manifest.dt,
        )
        planner = self.runtime.make_planner(self._planner_settings(), parameters["seed"])
        watch = ClockWatch(self.clock, self.simulated_time)
        chip = None
        if parameters["plan_source"] == "mcu":
            chip = Takeover(parameters["mcu_timeout"], parameters["mcu_recovery"])
        self._chip = chip
        self._latents: LatestSlot[Latent | Fault] = LatestSlot()
        plans: LatestSlot[Planned | Fault] = LatestSlot()
        limits = np.asarray(manifest.action_limit, dtype=np.float32)
        compensation = None
        if parameters["latency_compensation"]:
            compensation = LatencyCompensation(
                self.runtime, limits, timing.model_step, self._robot.actuation_latency,
                timing.observation_timeout, lambda: self._sent.take(),
            )  # fmt: skip
        self._compensation = compensation
        self._planning = PlanningLoop(
            planner, timing, self._latents, plans, self.clock, watch, compensation, chip,
            stand_in=parameters["on_mcu_loss"] == "host",
        )  # fmt: skip
        self._setpoints = SetpointLoop(limits, timing, plans, self._send, self.clock, compensation)

    def tick(self) -> None:
        """Say at once that the arm is stopped or moves again, and that another one plans."""
        now = time.monotonic()
        chip_plans = self._chip is not None and self._chip.chip_plans(now)
        state = bool(self._setpoints.problem), chip_plans
        if state != self._said and now - self._said_at > SAYING:
            self._said, self._said_at = state, now
            self.diagnostics.publish()

    def _send(self, command: Command) -> None:
        self._command.publish(command_message(command))

    def _planner_settings(self) -> PlannerSettings:
        """The bundle's settings, with what the parameters change."""
        changed = {key: self.given[key] for key in ("candidates", "horizon") if self.given[key]}
        return replace(self.runtime.manifest.planner, **changed)

    def _on_latent(self, message: Float32MultiArray) -> None:
        try:
            latent = read_latent(message)
        except SdiwmError as error:
            self._latents.put(Fault(str(error)))
            return
        if not len(latent.z):
            self._latents.put(Fault("the observer refused the observation"))
        elif not np.isfinite(latent.z).all():
            self._latents.put(Fault("the latent is not finite"))
        else:
            self._latents.put(latent)

    def _on_sent(self, message: Float64MultiArray, age: float) -> None:
        """What the guard has let through to the robot."""
        assert self._compensation is not None
        if len(message.data) == len(self._robot.joints):
            self._compensation.sent(np.array(message.data), self.clock() - round(age * 1e9))

    def _on_chip_plan(self, message: Float32MultiArray) -> None:
        try:
            plan = read_chip_plan(message, len(self._robot.joints))
        except SdiwmError as error:
            self._planning.refused_plans += 1
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        self._planning.take_chip_plan(plan)

    def _on_goal(self, message: Float32MultiArray) -> None:
        try:
            self._planning.set_goal(read_goal(message))
        except SdiwmError as error:
            self.get_logger().warning(str(error))

    def _imagine(self) -> None:
        """Publish the fingertip path that the model expects of the newest plan, and its markers."""
        planned, goal = self._planning.latest
        if planned is None or goal is None or goal.c is None or self._setpoints.problem:
            return
        latents = self.runtime.rollout(planned.latent.z, planned.actions, goal.c)
        points = self.runtime.probe(np.concatenate([planned.latent.z[None], latents]))[:, :3]
        stamp = planned.latent.stamp_ns
        self._path.publish(path_message(points, stamp))
        frame, sentence = self.given["frame"], goal.instruction
        self._markers.publish(plan_markers(points, planned.actions, sentence, frame, stamp))

    def _on_death(self, error: Exception) -> None:
        reason = f"the control loop ended: {type(error).__name__}: {error}"
        self.fail(SdiwmError(f"planner: {reason}"))

    def _figures(self) -> dict[str, object]:
        period, plan = self._setpoints.period_ms, self._planning.plan_ms
        latency = self._setpoints.latency_ms
        figures: dict[str, object] = {}
        for name, samples in (("period", period), ("plan", plan), ("latency", latency)):
            figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = samples.percentiles(50, 99)
        if self._compensation is not None:
            figures["compensated_ms"] = 1e3 * self._compensation.latency
        if self._chip is not None:
            figures |= {
                "planned_by": "mcu" if self._chip.chip_plans(time.monotonic()) else "host",
                "mcu_plans": self._setpoints.chip_plans,
                "mcu_plans_refused": self._planning.refused_plans,
                "mcu_takeovers": self._chip.takeovers,
                "mcu_returns": self._chip.returns,
            }
        if self._planning.chunk_ms.count:
            figures |= self._chunk_figures()
        return figures | {
            "replans": plan.count,
            "overruns": self._planning.overruns,
            "fallbacks": self._setpoints.counts[CommandKind.FALLBACK],
            "safe_stops": self._setpoints.counts[CommandKind.SAFE],
            "skipped_latents": self._latents.skipped,
            "clock_jumps": self._planning.clock_jumps,
            "backend": self.runtime.backend,
            "model_hash": self.runtime.manifest.model_hash,
        }

    def _chunk_figures(self) -> dict[str, object]:
        loop = self._planning
        at = loop.chunk_at.values()
        figures: dict[str, object] = {
            "chunks": loop.chunk_ms.count,
            "late_chunks": loop.late_chunks,
        }
        if len(at) > 1:
            figures["chunk_hz"] = (len(at) - 1) / (at[-1] - at[0])
        for name, samples in (("chunk", loop.chunk_ms), ("chunk_age", loop.chunk_age_ms)):
            figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = samples.percentiles(50, 99)
        return figures

    def assess(self) -> Health:
        if self.failure is not None:
            return Health(Level.ERROR, str(self.failure), self._figures())
        problem = self._setpoints.problem
        if not problem:
            return Health(Level.OK, "controlling", self._figures())
        level = Level.WARN if problem.startswith("no goal: waiting") else Level.ERROR
        return Health(level, f"holding still: {problem}", self._figures())

    def warnings(self) -> list[str]:
        words = super().warnings()
        if not self.active or self._chip is None or self._chip.chip_plans(time.monotonic()):
            return words
        return ["the microcontroller does not plan: this host does", *words]

    def deactivate(self) -> None:
        """Stop both threads, and only then send the safe command."""
        for worker in self._workers:
            worker.stop()
        self._setpoints.send_safe()

    def cleanup(self) -> None:
        if self.given["record_to"]:
            samples = self._planning.plan_ms.values().tolist()
            figures = {k: v for k, v in self._figures().items() if v == v}
            figures |= {"scheduling": self.privileges["scheduling"], "plan_ms": samples}
            if self._planning.chunk_ms.count:
                figures["chunk_ms"] = self._planning.chunk_ms.values().tolist()
                figures["chunk_age_ms"] = self._planning.chunk_age_ms.values().tolist()
            write_json(Path(self.given["record_to"]) / PLANNER_FILE, figures)


def main(argv: Sequence[str] | None = None, load: RuntimeLoader = load_named_runtime) -> int:
    """Run the node until a signal or its own end; the exit status."""
    return run_node(lambda: PlannerNode(load), argv)


if __name__ == "__main__":
    sys.exit(main())
