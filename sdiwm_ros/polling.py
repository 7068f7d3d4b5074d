"""Topics that are looked at when their news is needed, instead of waking the node for each message.

A wake-up of rclpy's executor costs more than most callbacks; at 250 Hz a topic takes several per
cent of a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile


class _NeverAwaited(CallbackGroup):
    """What belongs to it is left out of the executor's wait."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing is ever executed."""


class PolledTopic:
    """A subscription whose messages wait until `take`; the oldest go when there are too many.

    Args:
        on_message: called by `take` with each message and how long ago it was received, s.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        qos: QoSProfile,
        on_message: Callable[[Any, float], None],
    ) -> None:
        self._on_message = on_message
        self._subscription = node.create_subscription(
            kind, topic, lambda message: None, qos, callback_group=_NeverAwaited()
        )

    def take(self) -> None:
        """Hand over all that waits, the oldest first. Any thread may call."""
        handle = self._subscription.handle
        with handle:
            while (taken := handle.take_message(self._subscription.msg_type, False)) is not None:
                message, info = taken
                age = (time.time_ns() - info["received_timestamp"]) * 1e-9
                self._on_message(message, max(age, 0.0))
