"""ROS bags (rosbag2, in MCAP or SQLite) as episodes. Needs no ROS, only `rosbags`.

Sensors count by the stamp in their header, what is said and commanded by when it was received.
Every instruction begins an episode; one that names no single goal, and every stretch in which a
stream falls silent, is left out and reported.

Step t of an episode begins at t * dt after its first picture. It holds the picture nearest to that
time, joint state, goal costs and state interpolated linearly, and as its action the average of the
commands in force during the step, divided by the task's limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.importers.protocols import ExportOptions, ImportOptions, Skipped
from sdiwm_model.data.importers.resample import Stream, disorder, nearest, unbroken
from sdiwm_model.data.importers.settings import ImportSettings, read_settings
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.data.shards import ShardReader

SECOND = 1_000_000_000
GOAL_LATE = 1.0  # s for a goal to come after its instruction, as to a recorder that has just joined
CLOCKS_APART = 10.0  # s between stamp and receipt beyond which they are of two clocks
TYPES = {
    "image": "sensor_msgs/msg/Image",
    "joint_states": "sensor_msgs/msg/JointState",
    "command": "std_msgs/msg/Float64MultiArray",
    "instruction": "std_msgs/msg/String",
    "goal": "std_msgs/msg/String",
    "goal_cost": "std_msgs/msg/Float32MultiArray",
    "state": "std_msgs/msg/Float32MultiArray",
}
RECEIVED = ("command", "instruction", "goal")
SUFFIXES = (".mcap", ".db3")


class RosbagFormat:
    """See `protocols.Format`."""

    description = "a folder with metadata.yaml, or a .mcap or .db3 file"

    def detects(self, source: Path) -> bool:
        if source.is_dir():
            return (source / "metadata.yaml").is_file() or bool(list(source.glob("*.mcap")))
        return source.suffix in SUFFIXES

    def open(self, source: Path, options: ImportOptions) -> BagRecording:
        if options.config is None:
            raise SdiwmError(
                f"{source}: a bag does not tell what its topics mean: name its settings with "
                "--config, like config/import/reach.yaml"
            )
        return BagRecording(source, read_settings(options.config, options.namespace))

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        raise SdiwmError("ROS bags are only read; export to lerobot-v3, swm-hdf5 or minari")


class BagRecording:
    """One bag; pictures are read an episode at a time. See `protocols.Recording`."""

    def __init__(self, source: Path, settings: ImportSettings) -> None:
        self.sentences: dict[int, list[str]] = {}
        self.notes: list[str] = []
        self._source = source
        self._settings = settings
        with open_bag(source) as bag:
            topics = settings.topics
            stamps = [stamp for stamp, _ in self._samples(bag, "image")]
            self._note_disorder(topics.image, stamps)
            self._pictures = np.unique(np.array(stamps, np.int64))
            if not len(self._pictures):
                raise SdiwmError(f"{source}: topic {topics.image}: no message was recorded")
            self._image_shape = self._one_image(bag).shape
            self._joints = self._stream(bag, "joint_states")
            self._commands = self._stream(bag, "command")
            self._costs = self._stream(bag, "goal_cost")
            self._state = self._stream(bag, "state") if topics.state else None
            self._heard = list(self._samples(bag, "instruction"))
            if not self._heard:
                raise SdiwmError(
                    f"{source}: topic {topics.instruction}: no instruction was recorded"
                )
            self._goals = list(self._samples(bag, "goal")) if topics.goal else None
        for _, _, sentence, goal in self._instructions():
            if goal is not None and sentence not in self.sentences.setdefault(goal, []):
                self.sentences[goal].append(sentence)
        self._check_widths()

    def spec(self) -> EpisodeSpec:
        return EpisodeSpec(
            image=self._image_shape,
            proprio=2 * len(self._settings.joints),
            action=len(self._settings.joints),
            goals=len(self._settings.task["goals"]),
            state=0 if self._state is None else self._state.values.shape[1],
            task=self._settings.task,
        )

    def episodes(self, start: int = 0) -> Iterator[Episode | Skipped]:
        return islice(self._all(), start, None)

    def _all(self) -> Iterator[Episode | Skipped]:
        for start, end, sentence, goal in self._instructions():
            if goal is None:
                yield Skipped(f"{self._source}: '{sentence}' names no single goal")
            else:
                yield from self._of_one_instruction(start, end, sentence, goal)

    def _instructions(self) -> Iterator[tuple[int, int, str, int | None]]:
        """(first ns, last ns, sentence, goal) of each: what lies a margin from its neighbours."""
        margin = int(self._settings.grid.margin * SECOND)
        ends = [stamp - margin for stamp, _ in self._heard[1:]] + [int(self._pictures[-1])]
        for (stamp, sentence), end in zip(self._heard, ends, strict=True):
            said_until = min(end, stamp + int(GOAL_LATE * SECOND))
            goal = self._goal_of(sentence, stamp - margin, said_until)
            yield stamp + margin, end, sentence, goal

    def _goal_of(self, sentence: str, start: int, stop: int) -> int | None:
        """The last goal that was said from `start` to `stop` ns, or the one that its words name."""
        if self._goals is None:
            return self._settings.goal_of(sentence)
        said = [name for when, name in self._goals if start <= when <= stop]
        goals = list(self._settings.task["goals"])
        return goals.index(said[-1]) if said and said[-1] in goals else None

    def _of_one_instruction(
        self, start: int, end: int, sentence: str, goal: int
    ) -> Iterator[Episode | Skipped]:
        gap = int(self._settings.grid.max_gap * SECOND)
        streams = [self._pictures, self._joints.stamps, self._commands.stamps, self._costs.stamps]
        if self._state is not None:
            streams.append(self._state.stamps)
        parts = unbroken(start, end, streams, gap)
        if not parts:
            yield Skipped(f"{self._source}: '{sentence}': a stream is silent")
        for first, last in parts:
            yield self._episode(first, last, sentence, goal)

    def _episode(self, first: int, last: int, sentence: str, goal: int) -> Episode | Skipped:
        """The steps that fit between `first` and `last` ns."""
        dt = round(self._settings.dt * SECOND)
        following = int(np.searchsorted(self._pictures, first))
        begin = int(self._pictures[min(following, len(self._pictures) - 1)])
        steps = (last - begin) // dt
        if steps < self._settings.grid.min_steps:
            return Skipped(f"{self._source}: '{sentence}': {max(0, steps)} steps without a gap")
        edges = begin + dt * np.arange(steps + 1, dtype=np.int64)
        times = edges[:-1]
        limit = np.array(self._settings.task["action_limit"], dtype=np.float64)
        action = np.clip(self._commands.held(edges) / limit, -1.0, 1.0)
        state = np.zeros((steps, 0)) if self._state is None else self._state.at(times)
        return Episode(
            frames=self._frames(nearest(self._pictures, times)),
            proprio=self._joints.at(times).astype(np.float32),
            action=action.astype(np.float32),
            goal_cost=self._costs.at(times).astype(np.float32),
            state=state.astype(np.float32),
            instruction=sentence,
            goal=goal,
            behaviour="recorded",
            seed=-1,
            source=str(self._source),
            start=(begin - int(self._pictures[0])) / SECOND,
        )

    def _frames(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures of these indices (T,), each read once: (T, H, W, 3)."""
        wanted = self._pictures[chosen]
        start = int(wanted[0] - CLOCKS_APART * SECOND)
        stop = int(wanted[-1] + CLOCKS_APART * SECOND)
        found: dict[int, NDArray[np.uint8]] = {}
        with open_bag(self._source) as bag:
            for stamp, picture in self._samples(bag, "image", start, stop, set(wanted.tolist())):
                found[stamp] = picture
        frames = [found[int(stamp)] for stamp in wanted]
        if any(frame.shape != self._image_shape for frame in frames):
            raise SdiwmError(f"{self._source}: the pictures change their size")
        return np.stack(frames)

    def _one_image(self, bag: Any) -> NDArray[np.uint8]:
        first = {int(self._pictures[0])}
        return next(picture for _, picture in self._samples(bag, "image", wanted=first))

    def _stream(self, bag: Any, name: str) -> Stream:
        samples = list(self._samples(bag, name))
        topic = getattr(self._settings.topics, name)
        self._note_disorder(topic, [stamp for stamp, _ in samples])
        try:
            return Stream.of(topic, [s for s, _ in samples], [v for _, v in samples])
        except SdiwmError as error:
            raise SdiwmError(f"{self._source}: topic {error}") from None

    def _note_disorder(self, topic: str, stamps: Sequence[int]) -> None:
        if said := disorder(stamps):
            self.notes.append(f"{self._source}: topic {topic}: {said}")

    def _samples(
        self,
        bag: Any,
        name: str,
        start: int | None = None,
        stop: int | None = None,
        wanted: set[int] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """(stamp ns, content) of a topic in the order of receipt; pictures only where `wanted`."""
        topic = getattr(self._settings.topics, name)
        connections = connections_of(bag, topic, TYPES[name], self._source)
        for connection, received, raw in bag.messages(connections, start, stop):
            message = bag.deserialize(raw, connection.msgtype)
            stamp = received if name in RECEIVED else stamp_of(message, received)
            if abs(stamp - received) > CLOCKS_APART * SECOND:
                raise SdiwmError(
                    f"{self._source}: topic {topic}: stamps and times of receipt are "
                    f"{abs(stamp - received) / SECOND:.0f} s apart; record with the clock that the "
                    "stamps are of (use_sim_time)"
                )
            if name != "image":
                yield stamp, self._content(name, topic, message)
            elif wanted is None or stamp in wanted:
                yield stamp, None if wanted is None else read_image(message, self._source)

    def _content(self, name: str, topic: str, message: Any) -> Any:
        if name in ("instruction", "goal"):
            return str(message.data)
        if name == "joint_states":
            return joint_values(message, self._settings.joints, f"{self._source}: topic {topic}")
        return np.asarray(message.data, dtype=np.float64)

    def _check_widths(self) -> None:
        expected = {
            "command": (self._commands, len(self._settings.joints)),
            "goal_cost": (self._costs, len(self._settings.task["goals"])),
        }
        for name, (stream, width) in expected.items():
            if stream.values.shape[1] != width:
                topic = getattr(self._settings.topics, name)
                raise SdiwmError(
                    f"{self._source}: topic {topic}: {stream.values.shape[1]} numbers a message; "
                    f"the settings speak of {width}"
                )


@contextmanager
def open_bag(source: Path) -> Iterator[Any]:
    """An opened `rosbags.highlevel.AnyReader`.

    Raises:
        SdiwmError: the bag is damaged, unfinished or of an unknown kind; also what goes wrong
            while its messages are read.
    """
    from rosbags.highlevel import AnyReader, AnyReaderError
    from rosbags.rosbag2 import ReaderError
    from rosbags.typesys import Stores, get_typestore

    try:
        with AnyReader([source], default_typestore=get_typestore(Stores.ROS2_KILTED)) as bag:
            yield bag
    except FileNotFoundError:
        raise SdiwmError(
            f"{source}: there is no metadata.yaml; was the recorder killed? "
            "`sdiwm data mend` saves what it has written"
        ) from None
    except (AnyReaderError, ReaderError, AssertionError, ValueError) as error:
        raise SdiwmError(f"{source} is no readable bag: {error}") from None


def connections_of(bag: Any, topic: str, msgtype: str, source: Path) -> list[Any]:
    """The connections that carry `topic`.

    Raises:
        SdiwmError: there is none, or one of another type.
    """
    found = [each for each in bag.connections if each.topic == topic]
    if not found:
        there = ", ".join(sorted({each.topic for each in bag.connections})) or "nothing"
        raise SdiwmError(f"{source}: topic {topic} was not recorded; there is: {there}")
    if wrong := next((each.msgtype for each in found if each.msgtype != msgtype), None):
        raise SdiwmError(f"{source}: topic {topic} holds {wrong}; {msgtype} was expected")
    return found


def stamp_of(message: Any, received: int) -> int:
    """The header's stamp in ns, a vector's label `stamp_ns`, or else when it was received."""
    if hasattr(message, "header"):
        return int(message.header.stamp.sec) * SECOND + int(message.header.stamp.nanosec)
    for dimension in message.layout.dim:
        key, _, value = dimension.label.partition("=")
        if key == "stamp_ns" and value.isdigit():
            return int(value)
    return received


def read_image(message: Any, source: Path) -> NDArray[np.uint8]:
    """rgb8 or bgr8, padded rows or not -> (H, W, 3) RGB."""
    orders: dict[str, Callable[[Any], Any]] = {
        "rgb8": lambda pixels: pixels,
        "bgr8": lambda pixels: pixels[..., ::-1],
    }
    if message.encoding not in orders:
        raise SdiwmError(f"{source}: pictures of encoding '{message.encoding}'; use rgb8 or bgr8")
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.asarray(message.data, dtype=np.uint8)
    if step < 3 * width or len(data) != step * height:
        raise SdiwmError(
            f"{source}: {len(data)} bytes of step {step} do not make a {height}x{width} picture"
        )
    pixels = data.reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return np.ascontiguousarray(orders[message.encoding](pixels))


def joint_values(message: Any, joints: tuple[str, ...], where: str) -> NDArray[np.float64]:
    """Positions, then velocities, of `joints` in their order: (2J,); other joints are ignored."""
    places = {str(name): index for index, name in enumerate(message.name)}
    if missing := [joint for joint in joints if joint not in places]:
        raise SdiwmError(f"{where}: no joint '{missing[0]}'; there is: {', '.join(places)}")
    chosen = [places[joint] for joint in joints]
    if len(message.position) != len(places) or len(message.velocity) != len(places):
        raise SdiwmError(f"{where}: joint states need a position and a velocity for every joint")
    return np.concatenate([np.asarray(message.position)[chosen],
                           np.asarray(message.velocity)[chosen]])  # fmt: skip


FORMAT = RosbagFormat()
