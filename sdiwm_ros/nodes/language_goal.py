"""Node `language_goal`: a sentence on `instruction` in, the conditioning vector on `goal` out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import Float32MultiArray, String

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.messages import goal_message
from sdiwm_ros.models import RuntimeLoader, load_named_runtime
from sdiwm_ros.process import COMMANDED, LATCHED, ManagedNode, run_node
from sdiwm_ros.realtime import Samples
from sdiwm_ros.signals import Goal, now_ns


class LanguageGoalNode(ManagedNode):
    """An empty or unrelated sentence clears the goal (the planner then holds still) and is
    reported on /diagnostics.
    """

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("language_goal")
        self._load = load
        self._condition_ms = Samples(256)

    def configure(self) -> None:
        self._runtime = self._load(self.given)
        self._warm_up()
        self.diagnostics.hardware = self._runtime.manifest.model_hash
        self._goal = self.create_publisher(Float32MultiArray, "goal", LATCHED)

    def activate(self) -> None:
        self._sentence: str | None = None
        self._problem = ""
        # Latched publishers are heard even when they spoke before this node was there; the
        # second subscription hears those that do not latch, as `ros2 topic pub` does not.
        expected = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
        listen = partial(self.create_subscription, String, "instruction", self._on_instruction)
        listen(LATCHED, event_callbacks=expected)
        listen(COMMANDED)

    def _warm_up(self) -> None:
        """Load the text encoder now: the first sentence must not wait for it."""
        with suppress(InstructionError):
            self._runtime.condition(f"touch the {self._runtime.manifest.goals[0]} target")

    def _on_instruction(self, message: String) -> None:
        if message.data == self._sentence:
            return
        self._sentence = message.data
        started = now_ns()
        try:
            goal = Goal(self._runtime.condition(message.data), message.data)
            self._problem = ""
        except SdiwmError as error:
            goal = Goal(None, message.data)
            self._problem = f"instruction '{message.data}' refused: {error}"
        self._goal.publish(goal_message(goal))
        self._condition_ms.add((now_ns() - started) * 1e-6)
        self.diagnostics.publish()

    def assess(self) -> Health:
        values = {
            "instruction": self._sentence or "",
            "condition_p50_ms": self._condition_ms.percentiles(50)[0],
        }
        if self._problem:
            return Health(Level.ERROR, self._problem, values)
        waiting = self._sentence is None
        return Health(Level.OK, "waiting for an instruction" if waiting else "goal set", values)


def main(argv: Sequence[str] | None = None, load: RuntimeLoader = load_named_runtime) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(lambda: LanguageGoalNode(load), argv)


if __name__ == "__main__":
    sys.exit(main())
