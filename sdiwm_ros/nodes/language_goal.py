"""Node `language_goal`: a sentence on `instruction` in, the conditioning vector on `goal` out.

Callbacks only put sentences into a slot; a thread understands the newest one. So a flood of
sentences costs no more than one every `interval` seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import Float32MultiArray, String

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.messages import goal_message
from sdiwm_ros.model_node import ModelNode
from sdiwm_ros.models import RuntimeLoader, load_named_runtime
from sdiwm_ros.process import COMMANDED, LATCHED, run_node
from sdiwm_ros.realtime import LatestSlot, Samples, Worker
from sdiwm_ros.signals import Goal

GLANCE = 0.1  # s between looks at whether the node is still active
LONGEST = 1000  # characters: more is no instruction


class LanguageGoalNode(ModelNode):
    """An empty or unrelated sentence clears the goal (the planner then holds still) and is
    reported on /diagnostics.
    """

    def __init__(self, load: RuntimeLoader = load_named_runtime) -> None:
        super().__init__("language_goal", load)
        self._condition_ms = Samples(256)
        self._understood = 0

    def configure(self) -> None:
        super().configure()
        self._warm_up()
        self._goal = self.create_publisher(Float32MultiArray, "goal", LATCHED)

    def _warm_up(self) -> None:
        """Load the text encoder now: the first sentence must not wait for it."""
        with suppress(InstructionError):
            self.runtime.condition(f"touch the {self.runtime.manifest.goals[0]} target")

    def activate(self) -> None:
        self._heard: str | None = None
        self._sentence: str | None = None
        self._problem = ""
        self._sentences: LatestSlot[str] = LatestSlot()
        # Latched publishers are heard even when they spoke before this node was there; the
        # second subscription hears those that do not latch, as `ros2 topic pub` does not.
        expected = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
        listen = partial(self.create_subscription, String, "instruction", self._on_instruction)
        listen(LATCHED, event_callbacks=expected)
        listen(COMMANDED)
        self._said = self.create_guard_condition(self.diagnostics.publish)
        self._worker = Worker("language", self._step, self.fail)
        self._worker.start()

    def deactivate(self) -> None:
        self._worker.stop(timeout=2.0)
        self.destroy_guard_condition(self._said)

    def _on_instruction(self, message: String) -> None:
        if message.data != self._heard:
            self._heard = message.data
            self._sentences.put(message.data)

    def _step(self) -> None:
        """Understand the newest sentence, then let `interval` pass."""
        sentence = self._sentences.take(time.monotonic() + GLANCE)
        if sentence is None or sentence == self._sentence:
            return
        started = time.monotonic()
        goal, self._problem = self._understand(sentence)
        self._goal.publish(goal_message(goal))
        self._sentence = sentence
        self._understood += 1
        self._condition_ms.add(1000 * (time.monotonic() - started))
        self._said.trigger()
        time.sleep(max(0.0, started + self.given["interval"] - time.monotonic()))

    def _understand(self, sentence: str) -> tuple[Goal, str]:
        """The goal, and why there is none."""
        try:
            if len(sentence) > LONGEST:
                sentence = sentence[:LONGEST] + "…"
                raise InstructionError(f"it is longer than {LONGEST} characters")
            return Goal(self.runtime.condition(sentence), sentence), ""
        except SdiwmError as error:
            return Goal(None, sentence), f"instruction '{sentence}' refused: {error}"

    def assess(self) -> Health:
        values = {
            "instruction": self._sentence or "",
            "condition_p50_ms": self._condition_ms.percentiles(50)[0],
            "instructions": self._understood,
            "skipped_instructions": self._sentences.skipped,
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
