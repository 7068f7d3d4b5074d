"""A listener in the process of `sdiwm demo` and `sdiwm bench ros`: it must cost the loop nothing,
so it subscribes to slow topics only; the fast ones are recorded by the nodes themselves.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float32MultiArray, String

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.diagnostics import Health, Level, read_diagnostics
from sdiwm_ros.messages import read_path
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST
from sdiwm_ros.signals import Array, now_ns

MIDDLEWARE_VARIABLES = (
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
)
"""Read by the middleware when it starts."""

ANSWER_PATIENCE = 20.0  # s for a service to be there, and again for its answer


class Monitor:
    """Hears episodes, instructions, diagnostics and imagined paths; can say an instruction."""

    def __init__(self, environment: Mapping[str, str], namespace: str = "") -> None:
        """environment: names the ROS domain to join and how; see `graph.private_environment`.

        namespace: of the robot to listen to, such as `/left`.
        """
        self.episodes: list[dict[str, Any]] = []
        self.instructions: list[str] = []
        self.imagined: list[tuple[int, Array]] = []
        self.health: dict[str, Health] = {}
        self._environment = environment
        self._namespace = namespace
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Monitor:
        for key in MIDDLEWARE_VARIABLES:
            os.environ[key] = self._environment[key]
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            "monitor", context=self._context, namespace=self._namespace or None
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        listen = self._node.create_subscription
        listen(String, "simulator/episode", self._on_episode, COMMANDED)
        listen(String, "instruction", lambda m: self.instructions.append(m.data), LATCHED)
        listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, COMMANDED)
        listen(Float32MultiArray, "planner/imagined_path", self._on_path, NEWEST)
        self._instruction = self._node.create_publisher(String, "instruction", LATCHED)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(timeout_sec=0.5)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def spin(self, seconds: float) -> None:
        """Handle what arrives within `seconds`."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=remaining)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Handle what arrives until the condition holds; False where it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(remaining, 0.05))
        return True

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """The response of a service.

        Raises:
            SdiwmError: no answer.
        """
        if service not in self._clients:
            self._clients[service] = self._node.create_client(kind, service)
        client = self._clients[service]
        if self.until(client.service_is_ready, ANSWER_PATIENCE):
            future = client.call_async(request)
            if self.until(future.done, ANSWER_PATIENCE):
                return future.result()
        raise SdiwmError(f"service {service} did not answer within {ANSWER_PATIENCE:.0f} s.")

    def health_of(self, node: str) -> Health:
        """The newest word of a node on /diagnostics."""
        name = f"{self._namespace}/{node}".lstrip("/")
        return self.health.get(name, Health(Level.OK, "nothing heard yet"))

    def say(self, sentence: str) -> int:
        """Publish an instruction, as anybody may; the time it was published at, ns."""
        published = now_ns()
        self._instruction.publish(String(data=sentence))
        return published

    def imagined_arrays(self) -> dict[str, Any]:
        """stamp_ns (K,) and points (K, T, 3), as `sdiwm_sim.video` reads them."""
        if not self.imagined:
            return {"stamp_ns": np.zeros(0, np.int64), "points": np.zeros((0, 1, 3), np.float32)}
        stamps, points = zip(*self.imagined, strict=True)
        return {"stamp_ns": np.array(stamps, np.int64), "points": np.stack(points)}

    def _on_episode(self, message: String) -> None:
        self.episodes.append(json.loads(message.data))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.health |= read_diagnostics(message)

    def _on_path(self, message: Float32MultiArray) -> None:
        points, stamp = read_path(message)
        self.imagined.append((stamp, points))
