"""The health of a node as diagnostic_msgs/DiagnosticArray, once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from sdiwm_ros.messages import time_message

PERIOD = 1.0  # s


class Level(IntEnum):
    """The levels of diagnostic_msgs."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Health:
    """What a node says of itself: a sentence, and figures with their unit in the key."""

    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class DiagnosticsPublisher:
    """Publishes `assess()` on /diagnostics every second, and at once where told.

    A change of state is logged too, for whoever watches the terminal.
    """

    def __init__(self, node: Node, assess: Callable[[], Health], clock: Callable[[], int]) -> None:
        self.hardware = ""  # what the figures are of: a model's hash, or a task
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._logger = node.get_logger()
        self._said = ""
        self._assess = assess
        self._clock = clock
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # On a clock that never stands still: a simulated one that does must be reported too.
        node.create_timer(PERIOD, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        health = self._assess()
        if health.message != self._said:
            self._said = health.message
            # rclpy ties a severity to the line that logs: one line for each.
            if health.level is Level.OK:
                self._logger.info(health.message)
            else:
                self._logger.warning(health.message)
        status = DiagnosticStatus(
            level=bytes([health.level]),
            name=self._name,
            message=health.message,
            hardware_id=self.hardware,
            values=[KeyValue(key=k, value=_text(v)) for k, v in health.values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = time_message(self._clock())
        self._publisher.publish(message)


def read_diagnostics(message: DiagnosticArray) -> dict[str, Health]:
    """-> the health of each node in the message, values as text."""
    return {
        status.name: Health(
            Level(min(status.level[0], Level.ERROR)),
            status.message,
            {pair.key: pair.value for pair in status.values},
        )
        for status in message.status
    }


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
