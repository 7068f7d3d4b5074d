"""Node `mcu_bridge`: latents and a goal in, plans of a microcontroller out on `mcu/plan`.

It owns the serial port, or the emulated chip, and brings the link back whenever it is lost. Who
follows the plans, and what happens without them, is the planner's business.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from std_msgs.msg import Float32MultiArray, Float64MultiArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.program import Contents
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.mcu import EMULATED, Microcontroller, check_dynamics, fitting, is_emulated
from sdiwm_model.shipped import bundle_folder
from sdiwm_ros.chip import ChipPlanner
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.control import ControlTiming, Fault, Planned, PlanningLoop
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.latency import LatencyCompensation
from sdiwm_ros.messages import chip_plan_message, read_goal, read_latent
from sdiwm_ros.model_node import ModelNode
from sdiwm_ros.models import RuntimeLoader, load_named_runtime
from sdiwm_ros.polling import PolledTopic
from sdiwm_ros.process import LATCHED, NEWEST, RECENT, run_node
from sdiwm_ros.realtime import LatestSlot, Samples, Worker
from sdiwm_ros.robot import robot_of
from sdiwm_ros.signals import ChipPlan, Latent

EMULATED_TIMEOUT = 2.0  # s for an answer at least: an emulator runs when this host has time for it


class McuBridgeNode(ModelNode):
    """The host's runtime serves to move latents on, never to plan."""

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("mcu_bridge", load)
        self._plans_out = 0
        self._age_ms = Samples()

    def configure(self) -> None:
        super().configure()
        folder = bundle_folder(self.given["model"], self.given["task"])
        check_dynamics(folder, self.runtime.manifest)
        self._contents = Contents.of_bundle(folder)
        self._robot = robot_of(self.given["robot"], self.given["task"])
        self._chip = ChipPlanner(self._connect, self._settings(), self.given["seed"])
        self._plan = self.create_publisher(Float32MultiArray, "mcu/plan", NEWEST)

    def activate(self) -> None:
        self._problem = "no plan yet"
        self._goal = 0, 0  # its number and fingerprint
        self._latents: LatestSlot[Latent | Fault] = LatestSlot()
        self._plans: LatestSlot[Planned | Fault] = LatestSlot()
        self._build_loop()
        self._worker = Worker("chip", self._step, self._on_death)
        self.create_subscription(Float32MultiArray, "latent", self._on_latent, NEWEST)
        self.create_subscription(Float32MultiArray, "goal", self._on_goal, LATCHED)
        topic = self._robot.command_topic
        self._sent = PolledTopic(self, Float64MultiArray, topic, RECENT, self._on_sent)
        self._worker.start()

    def _build_loop(self) -> None:
        manifest, timeout = self.runtime.manifest, self.given["observation_timeout"]
        timing = ControlTiming(timeout, 0.0, timeout, manifest.dt)
        self._compensation = LatencyCompensation(
            self.runtime,
            np.asarray(manifest.action_limit),
            manifest.dt,
            self._robot.actuation_latency,
            timeout,
            lambda: self._sent.take(),
        )
        compensation = self._compensation if self.given["latency_compensation"] else None
        watch = ClockWatch(self.clock, self.simulated_time)
        self._planning = PlanningLoop(
            self._chip, timing, self._latents, self._plans, self.clock, watch, compensation
        )

    def _settings(self) -> PlannerSettings:
        """The bundle's settings as far as they fit on a chip, with what the parameters change."""
        changed = {key: self.given[key] for key in ("candidates", "horizon") if self.given[key]}
        return replace(fitting(self.runtime.manifest), **changed)

    def _connect(self) -> Microcontroller:
        port, timeout = self.given["port"] or EMULATED, self.given["link_timeout"]
        if is_emulated(port):
            timeout = max(timeout, EMULATED_TIMEOUT)
        return Microcontroller(self._contents, port, timeout)

    def _step(self) -> None:
        """Plan on the newest latent and publish."""
        self._planning.step()
        planned, (number, fingerprint) = self._plans.take(time.monotonic()), self._goal
        if isinstance(planned, Fault):
            self._problem = planned.reason
        elif planned is not None and planned.goal == number:
            self._problem = ""
            stamp = planned.latent.stamp_ns
            plan = ChipPlan(planned.actions, stamp, planned.starts_ns, fingerprint)
            self._plan.publish(chip_plan_message(plan))
            age = (self.clock() - stamp) * 1e-9
            self._compensation.answered(age)
            self._age_ms.add(1e3 * age)
            self._plans_out += 1

    def _on_latent(self, message: Float32MultiArray) -> None:
        try:
            latent = read_latent(message)
        except SdiwmError as error:
            self._latents.put(Fault(str(error)))
            return
        if len(latent.z) and np.isfinite(latent.z).all():
            self._latents.put(latent)
        else:
            self._latents.put(Fault("the observer refused the observation"))

    def _on_goal(self, message: Float32MultiArray) -> None:
        try:
            goal = read_goal(message)
        except SdiwmError as error:
            self.get_logger().warning(str(error))
            return
        self._goal = self._planning.set_goal(goal), goal.fingerprint

    def _on_sent(self, message: Float64MultiArray, age: float) -> None:
        if len(message.data) == len(self._robot.joints):
            self._compensation.sent(np.array(message.data), self.clock() - round(age * 1e9))

    def _on_death(self, error: Exception) -> None:
        self.fail(SdiwmError(f"mcu_bridge: the loop ended: {type(error).__name__}: {error}"))

    def assess(self) -> Health:
        age = self._age_ms.percentiles(50, 99)
        chip_ms = self._planning.plan_ms.percentiles(50, 99)
        values: dict[str, object] = {
            "plans": self._plans_out,
            "plan_p50_ms": chip_ms[0],
            "plan_p99_ms": chip_ms[1],
            "age_p50_ms": age[0],
            "age_p99_ms": age[1],
            "clock_jumps": self._planning.clock_jumps,
            **self._chip.figures(),
        }
        if not self._problem:
            return Health(Level.OK, "planning on the microcontroller", values)
        waiting = self._problem.startswith(("no goal: waiting", "no plan yet"))
        return Health(Level.WARN if waiting else Level.ERROR, self._problem, values)

    def deactivate(self) -> None:
        self._worker.stop(2.0)

    def cleanup(self) -> None:
        self._chip.close()


def main(argv: Sequence[str] | None = None, load: RuntimeLoader = load_named_runtime) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(lambda: McuBridgeNode(load), argv)


if __name__ == "__main__":
    sys.exit(main())
