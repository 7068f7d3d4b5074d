"""Node `language_goal`: a sentence on `instruction` in, the conditioning vector on `goal` out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import Float32MultiArray, String

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_ros.diagnostics import DiagnosticsPublisher, Health, Level
from sdiwm_ros.messages import goal_message
from sdiwm_ros.models import RuntimeLoader, load_named_runtime
from sdiwm_ros.parameters import declare
from sdiwm_ros.process import COMMANDED, LATCHED, HostedNode, run_node
from sdiwm_ros.realtime import Samples, prefer_this_process
from sdiwm_ros.signals import Goal, now_ns


class LanguageGoalNode(HostedNode):
    """An empty or unrelated sentence clears the goal (the planner then holds still) and is
    reported on /diagnostics.
    """

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("language_goal")
        parameters = declare(self)
        self._runtime = load(parameters)
        self._warm_up()
        self._scheduling = prefer_this_process(parameters["realtime_priority"])
        self._sentence: str | None = None
        self._problem = ""
        self._condition_ms = Samples(256)
        self._goal = self.create_publisher(Float32MultiArray, "goal", LATCHED)
        # Latched publishers are heard even when they spoke before this node was there; the
        # second subscription hears those that do not latch, as `ros2 topic pub` does not.
        expected = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
        listen = partial(self.create_subscription, String, "instruction", self._on_instruction)
        listen(LATCHED, event_callbacks=expected)
        listen(COMMANDED)
        self._diagnostics = DiagnosticsPublisher(
            self, self._runtime.manifest.model_hash, self._assess
        )

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
        self._diagnostics.publish()

    def _assess(self) -> Health:
        values = {
            "instruction": self._sentence or "",
            "condition_p50_ms": self._condition_ms.percentiles(50)[0],
            "scheduling": self._scheduling,
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
