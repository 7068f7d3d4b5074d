"""Node `observer`: camera at 30 Hz and joint states at 250 Hz in, one latent a joint state out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32MultiArray

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.messages import latent_message, read_image, stamp_of
from sdiwm_ros.model_node import ModelNode
from sdiwm_ros.models import RuntimeLoader, load_named_runtime, warm_up
from sdiwm_ros.observation import Observer, SensorTimeouts
from sdiwm_ros.process import NEWEST, run_node
from sdiwm_ros.realtime import Samples
from sdiwm_ros.robot import JointReader, robot_of
from sdiwm_ros.signals import Latent

SAYING = 0.1  # s between diagnostics that only tell of another problem


class ObserverNode(ModelNode):
    """Publishes an empty latent for an observation it refuses, so that the planner stops."""

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("observer", load)
        self._refused = 0
        self._latents = 0
        self._delay_ms = Samples()

    def configure(self) -> None:
        super().configure()
        warm_up(self.runtime)
        self._robot = robot_of(self.given["robot"], self.given["task"])
        manifest = self.runtime.manifest
        self._robot.check_model(self.given["task"], len(manifest.action_limit))
        self._joints = JointReader(self._robot)
        self._latent = self.create_publisher(Float32MultiArray, "latent", NEWEST)

    def activate(self) -> None:
        watch = ClockWatch(self.clock, self.simulated_time)
        self._observer = Observer(self.runtime, self._timeouts, self.clock, watch)
        self._problem, self._said_at = "", 0.0
        camera, joints = self._robot.camera_topic, self._robot.joint_states_topic
        self.create_subscription(Image, camera, self._on_image, NEWEST)
        self.create_subscription(JointState, joints, self._on_joints, NEWEST)

    def _timeouts(self) -> SensorTimeouts:
        given = self.given
        return SensorTimeouts(
            given["image_timeout"], given["joint_timeout"], given["frozen_motion"]
        )

    def _on_image(self, message: Image) -> None:
        try:
            self._observer.see(read_image(message), stamp_of(message))
        except SdiwmError as error:
            self._refuse(self._observer.lose_sight(str(error)))

    def _on_joints(self, message: JointState) -> None:
        stamp = stamp_of(message)
        try:
            proprio = self._joints.read(message.name, message.position, message.velocity)
            latent = self._observer.feel(proprio, stamp)
        except SdiwmError as error:
            self._refuse(str(error))
            self._latent.publish(latent_message(Latent(np.zeros(0, np.float32), stamp)))
            return
        self._latent.publish(latent_message(latent))
        self._latents += 1
        self._delay_ms.add((self.clock() - stamp) * 1e-6)
        if self._problem:
            self._problem = ""
            self.diagnostics.publish()

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        new = reason != self._problem
        self._problem = reason
        if new and time.monotonic() - self._said_at > SAYING:
            self._said_at = time.monotonic()
            self.diagnostics.publish()

    def assess(self) -> Health:
        p50, p99 = self._delay_ms.percentiles(50, 99)
        values = {
            "latents": self._latents,
            "refused": self._refused,
            "clock_jumps": self._observer.clock_jumps,
            "latent_delay_p50_ms": p50,
            "latent_delay_p99_ms": p99,
        }
        if self._problem:
            return Health(Level.ERROR, self._problem, values)
        return Health(Level.OK, "observing" if self._latents else "waiting for sensors", values)


def main(argv: Sequence[str] | None = None, load: RuntimeLoader = load_named_runtime) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(lambda: ObserverNode(load), argv)


if __name__ == "__main__":
    sys.exit(main())
