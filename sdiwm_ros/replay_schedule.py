"""From a bag to what is said, shown and felt in which order, so that plans come out the same.

A plan depends on the seed, on how many plans there were, on the goal, on the observation and on the
plan before. Which observations were planned on, with which picture, is decided by timing; the bag
tells: commands carry the stamp of their joint state and the numbers of their goal and plan, latents
the stamp of their picture. Where a bag holds no plans that can be compared, every joint state is
planned on, with the newest picture. ROS-free.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sdiwm_model.data.importers.rosbag import connections_of, open_bag, stamp_of
from sdiwm_model.errors import SdiwmError

IMAGE = "sensor_msgs/msg/Image"
JOINTS = "sensor_msgs/msg/JointState"
TEXT = "std_msgs/msg/String"
FLOATS = "std_msgs/msg/Float32MultiArray"
DOUBLES = "std_msgs/msg/Float64MultiArray"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


@dataclass(frozen=True)
class BagTopics:
    """Absolute names of the topics that a replay reads."""

    image: str
    joints: str
    instruction: str
    goal: str
    latent: str
    command: str

    @staticmethod
    def within(namespace: str, camera: str, joints: str) -> BagTopics:
        """Those of a robot: its namespace, and where its description puts camera and joints."""
        prefix = f"/{namespace.strip('/')}".rstrip("/")
        names = [camera, joints, "instruction", "goal", "latent", "planner/command"]
        return BagTopics(*(f"{prefix}/{name}" for name in names))


@dataclass(frozen=True)
class Say:
    """An instruction."""

    sentence: str


@dataclass(frozen=True)
class Show:
    """A picture: its stamp and the message as recorded, serialised."""

    stamp_ns: int
    raw: bytes


@dataclass(frozen=True)
class Feel:
    """A joint state, fused with the picture of `image_ns`; `plan`: the recorded plan's CRC-32."""

    stamp_ns: int
    raw: bytes
    image_ns: int
    plan: int | None


Step = Say | Show | Feel


@dataclass(frozen=True)
class Planned:
    """What is known of a recorded plan: the numbers of goal and plan, its CRC-32 (None: it was
    overtaken by the next one before a command of it was sent), and the stamp of the one before.
    """

    goal: int
    number: int
    plan: int | None
    before_ns: int = 0


@dataclass(frozen=True)
class Recorded:
    """What a bag says of the planner that it was recorded from.

    objection: why its plans cannot be compared with a replay's, or "" where they can.
    """

    plans: int
    objection: str


class Schedule:
    """The steps of a bag, read one after the other: a bag need not fit into memory.

    Raises:
        SdiwmError: the bag is damaged, or lacks pictures, joint states or instructions.
    """

    def __init__(self, bag: Path, topics: BagTopics) -> None:
        self._path = bag
        self._topics = topics
        with open_bag(bag) as reader:
            there = {connection.topic for connection in reader.connections}
            self._goals = [said for _, said in self._labelled(reader, topics.goal, FLOATS, there)]
            plans = self._read_plans(reader, there)
            self._pictures = {
                stamp: int(labels.get("image_ns", 0))
                for stamp, labels in self._labelled(reader, topics.latent, FLOATS, there)
            }
            figures = self._read_diagnostics(reader, there)
        self._plans = self._with_overtaken(plans)
        self.recorded = Recorded(len(plans), self._objection(figures))

    def steps(self) -> Iterator[Step]:
        """In order. Along recorded plans where they can be compared, else every joint state."""
        with open_bag(self._path) as reader, open_bag(self._path) as second:
            if self.recorded.objection:
                yield from self._all(reader)
            else:
                yield from self._alike(reader, second)

    def _read_plans(self, reader: Any, there: set[str]) -> dict[int, Planned]:
        """The plans whose commands were recorded, by the stamp of their observation."""
        plans: dict[int, Planned] = {}
        for stamp, labels in self._labelled(reader, self._topics.command, DOUBLES, there):
            if labels.get("kind") == "plan":
                keys = ("goal", "number", "plan", "before_ns")
                plans.setdefault(stamp, Planned(*(int(labels.get(key, 0)) for key in keys)))
        return dict(sorted(plans.items()))

    def _with_overtaken(self, plans: dict[int, Planned]) -> dict[int, Planned]:
        """Add those that no command tells of, where it is known what they were made on: the next
        plan names one, and several must be as many as there are latents in between.
        """
        latents = sorted(self._pictures)
        complete: dict[int, Planned] = {}
        before: tuple[int, Planned] | None = None
        for stamp, planned in plans.items():
            if before is not None:
                last, then = before
                between = latents[bisect_right(latents, last) : bisect_left(latents, stamp)]
                missed = planned.number - then.number - 1
                if missed == 1 and planned.before_ns in between:
                    between = [planned.before_ns]
                if len(between) == missed and planned.goal == then.goal:
                    for offset, missing in enumerate(between, 1):
                        complete[missing] = Planned(then.goal, then.number + offset, None)
            complete[stamp] = planned
            before = stamp, planned
        return complete

    def _read_diagnostics(self, reader: Any, there: set[str]) -> dict[str, str]:
        """The planner's last figures."""
        figures: dict[str, str] = {}
        name = self._topics.command.removesuffix("/command").lstrip("/")
        if "/diagnostics" in there:
            connections = connections_of(reader, "/diagnostics", DIAGNOSTICS, self._path)
            for connection, _, raw in reader.messages(connections):
                for status in reader.deserialize(raw, connection.msgtype).status:
                    if status.name == name:
                        figures |= {pair.key: pair.value for pair in status.values}
        return figures

    def _objection(self, figures: Mapping[str, str]) -> str:
        if not self._plans:
            return "the bag holds no plans"
        if "compensated_ms" in figures:
            return "they were made with latency compensation, which depends on the host's timing"
        numbers = [planned.number for planned in self._plans.values()]
        if numbers[0] != 1:
            return "the bag begins after the planner's first plan"
        if max(planned.goal for planned in self._plans.values()) > len(self._goals):
            return "a goal was not recorded"
        if lost := sum(b - a != 1 for a, b in pairwise(numbers)):
            return f"plans were made in {lost} places that the bag does not tell of"
        return ""

    def _alike(self, reader: Any, second: Any) -> Iterator[Step]:
        """The observations that were planned on, each with its picture and its goal."""
        said, shown = 0, 0
        pictures = self._sensors(second, {self._topics.image: IMAGE})
        for stamp, _, raw in self._sensors(reader, {self._topics.joints: JOINTS}):
            if stamp not in self._plans:
                continue
            planned = self._plans[stamp]
            for labels in self._goals[said : planned.goal]:
                yield Say(labels["instruction"])
            said, image = max(said, planned.goal), self._pictures.get(stamp, 0)
            while shown < image:
                shown, _, picture = next(pictures, (image + 1, "", b""))
                if shown == image:
                    yield Show(image, picture)
            if shown != image or not image:
                raise SdiwmError(
                    f"{self._path}: the picture behind the plan at {stamp} ns was not recorded"
                )
            yield Feel(stamp, raw, image, planned.plan)

    def _all(self, reader: Any) -> Iterator[Step]:
        """Everything, in the order of its receipt."""
        topics, shown = self._topics, 0
        kinds = {topics.image: IMAGE, topics.joints: JOINTS, topics.instruction: TEXT}
        for stamp, topic, raw in self._sensors(reader, kinds):
            if topic == topics.instruction:
                yield Say(str(reader.deserialize(raw, TEXT).data))
            elif topic == topics.image:
                yield Show(stamp, raw)
                shown = stamp
            elif shown:
                yield Feel(stamp, raw, shown, None)

    def _sensors(self, reader: Any, kinds: Mapping[str, str]) -> Iterator[tuple[int, str, bytes]]:
        """(stamp, topic, serialised message) of these topics, in the order of receipt."""
        connections = [
            each
            for topic, kind in kinds.items()
            for each in connections_of(reader, topic, kind, self._path)
        ]
        for connection, received, raw in reader.messages(connections):
            stamp = received
            if connection.msgtype != TEXT:
                stamp = stamp_of(reader.deserialize(raw, connection.msgtype), received)
            yield stamp, connection.topic, raw

    def _labelled(
        self, reader: Any, topic: str, kind: str, there: set[str]
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Stamp and labels of every message of a topic; nothing where it was not recorded."""
        if topic not in there:
            return
        connections = connections_of(reader, topic, kind, self._path)
        for connection, received, raw in reader.messages(connections):
            message = reader.deserialize(raw, connection.msgtype)
            pairs = (dimension.label.partition("=") for dimension in message.layout.dim)
            labels = {key: value for key, equals, value in pairs if equals}
            yield int(labels.get("stamp_ns", received)), labels
