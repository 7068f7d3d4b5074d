"""Feeds a bag's sensors to a graph of its own, step by step, and hears what it plans.

The graph is real: observer, language_goal and planner in processes of their own, on simulated time.
This process stands between them. A latent goes on to the planner only when it was fused from the
right picture, a goal only when it is the one that was asked for, and the next observation is sent
only when the last one has been answered. So nothing depends on timing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32MultiArray, Float64MultiArray, String

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.graph import Graph
from sdiwm_ros.messages import read_command, read_goal, read_latent, time_message
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import LATCHED, NEWEST
from sdiwm_ros.replay_schedule import BagTopics, Feel, Say, Show, Step
from sdiwm_ros.signals import CommandKind

NODES = ("observer", "language_goal", "planner")
GATES = {"latent": "gate/latent", "goal": "gate/goal"}  # what the planner hears instead
START_PATIENCE = 180.0  # s: the first start compiles the engine
ANSWER_PATIENCE = 10.0  # s until a step that was not answered is sent again
TRIES = 3
STEADY = 10_000_000  # ns: a longer step of the clock waits until every node knows of it
EVERYTHING = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=100
)


class ReplayGraph(Graph):
    """The nodes of a replay; the planner listens to the gate."""

    def command(self, node: str, parameter_file: Path) -> list[str]:
        command = super().command(node, parameter_file)
        if node != "planner":
            return command
        renamed = [("-r", f"{heard}:={gate}") for heard, gate in GATES.items()]
        return [*command, *(word for pair in renamed for word in pair)]


@dataclass
class Outcome:
    """What a replay planned: stamp and CRC-32 of every plan; how many recorded plans it met."""

    plans: list[tuple[int, int]] = field(default_factory=list)
    refused: int = 0
    same: int = 0
    different: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 over all stamps and plans: two replays are the same if these are."""
        lines = "".join(f"{stamp} {plan}\n" for stamp, plan in self.plans)
        return hashlib.sha256(lines.encode()).hexdigest()


class Replay(Monitor):
    """The process between the nodes; as a context manager it joins and leaves their domain."""

    def __init__(self, environment: Mapping[str, str], topics: BagTopics, graph: Graph) -> None:
        super().__init__(environment)
        self._topics = topics
        self._graph = graph
        self._picture = b""
        self._now = 0
        self._heard: dict[str, Any] = {}

    def __enter__(self) -> Replay:
        super().__enter__()
        speak, listen = self._node.create_publisher, self._node.create_subscription
        self._clock = speak(Clock, "/clock", NEWEST)
        self._image = speak(Image, self._topics.image, NEWEST)
        self._joints = speak(JointState, self._topics.joints, NEWEST)
        self._latent = speak(Float32MultiArray, f"/{GATES['latent']}", NEWEST)
        self._goal = speak(Float32MultiArray, f"/{GATES['goal']}", LATCHED)
        for kind, topic, qos in (
            (Float32MultiArray, "latent", EVERYTHING),
            (Float32MultiArray, "goal", LATCHED),
            (Float64MultiArray, "planner/command", EVERYTHING),
        ):
            listen(kind, f"/{topic}", lambda message, name=topic: self._hear(name, message), qos)
        self._fences: dict[str, Any] = {
            node: self._node.create_client(GetParameters, f"/{node}/get_parameters")
            for node in NODES
        }
        return self

    def run(self, steps: Iterable[Step], on_step: Callable[[Step], None]) -> Outcome:
        """Play all steps.

        Raises:
            SdiwmError: a node ended, or does not answer.
        """
        self._await_nodes()
        outcome = Outcome()
        spoken = False
        for step in steps:
            on_step(step)
            match step:
                case Say(sentence):
                    self._say(sentence)
                    spoken = True
                case Show(stamp, raw):
                    self._picture = raw
                    self._move_clock(stamp)
                    self._image.publish(raw)
                case Feel() if spoken:
                    self._feel(step, outcome)
        return outcome

    def _hear(self, name: str, message: Any) -> None:
        """Keep the newest of each, and what a command is about."""
        if name == "planner/command":
            command = read_command(message)
            if command.kind is CommandKind.PLAN:
                self._heard[name] = command
        else:
            self._heard[name] = message

    def _await_nodes(self) -> None:
        """Until every node is active and hears us."""
        publishers = (self._image, self._joints, self._instruction, self._latent, self._goal)

        def ready() -> bool:
            self._graph.check()
            return all(each.get_subscription_count() for each in publishers) and all(
                fence.service_is_ready() for fence in self._fences.values()
            )

        if not self.until(ready, START_PATIENCE):
            raise SdiwmError(f"the nodes were not ready within {START_PATIENCE:.0f} s.")

    def _fence(self, *nodes: str) -> None:
        """Return when these nodes have worked through what they had received."""
        for node in nodes:
            answer = self._fences[node].call_async(GetParameters.Request(names=["autostart"]))
            if not self.until(answer.done, 10.0):
                raise SdiwmError(f"the node {node} does not answer; {self._words(node)}")

    def _move_clock(self, stamp: int) -> None:
        step = stamp - self._now
        self._now = max(stamp, self._now)
        self._clock.publish(Clock(clock=time_message(self._now)))
        if step > STEADY:
            self._fence("observer", "planner")

    def _say(self, sentence: str) -> None:
        """Have an instruction understood, and the planner know it."""

        def understood() -> bool:
            message = self._heard.get("goal")
            return message is not None and read_goal(message).instruction == sentence

        if understood():
            return  # language_goal answers a sentence that is said again with nothing
        for _ in range(TRIES):
            self._instruction.publish(String(data=sentence))
            if self.until(understood, ANSWER_PATIENCE):
                self._goal.publish(self._heard["goal"])
                self._goal.wait_for_all_acked()
                self._fence("planner")
                return
        raise SdiwmError(f"'{sentence}' was not answered; {self._words('language_goal')}")

    def _feel(self, step: Feel, outcome: Outcome) -> None:
        latent = self._fused(step)
        if latent is None:
            outcome.refused += 1
            return
        if read_goal(self._heard["goal"]).c is None:
            outcome.refused += 1  # no goal is in force: nothing is planned
            return
        for _ in range(TRIES):
            self._latent.publish(latent)
            if self.until(lambda: self._planned(step.stamp_ns), ANSWER_PATIENCE):
                break
            self._move_clock(self._now)
            self._fence("planner")
        else:
            raise SdiwmError(
                f"no plan for the observation at {step.stamp_ns} ns; {self._words('planner')}"
            )
        command = self._heard["planner/command"]
        outcome.plans.append((step.stamp_ns, command.plan))
        if command.number != len(outcome.plans):
            raise SdiwmError(
                f"the observation at {step.stamp_ns} ns was planned on twice, since the first "
                f"answer did not come within {ANSWER_PATIENCE:.0f} s; replay again"
            )
        if step.plan is not None:
            outcome.same += command.plan == step.plan
            outcome.different += command.plan != step.plan

    def _fused(self, step: Feel) -> Float32MultiArray | None:
        """The latent of this joint state and its picture; None where the observer refuses it."""
        self._move_clock(step.stamp_ns)
        latent = None
        for _ in range(TRIES):
            self._heard.pop("latent", None)
            self._joints.publish(step.raw)
            if self.until(lambda: self._felt(step.stamp_ns), ANSWER_PATIENCE):
                latent = read_latent(self._heard["latent"])
                if len(latent.z) and latent.image_ns == step.image_ns:
                    return self._heard["latent"]
            self._image.publish(self._picture)
            self._fence("observer")
        if latent is None:
            raise SdiwmError(
                f"no latent for the joint state at {step.stamp_ns} ns; {self._words('observer')}"
            )
        return None

    def _felt(self, stamp: int) -> bool:
        message = self._heard.get("latent")
        return message is not None and read_latent(message).stamp_ns == stamp

    def _planned(self, stamp: int) -> bool:
        command = self._heard.get("planner/command")
        return command is not None and command.stamp_ns == stamp

    def _words(self, node: str) -> str:
        """What a node last said of itself."""
        self.spin(1.5)
        self._graph.check()
        return f"{node} says: {self.health_of(node).message}"
