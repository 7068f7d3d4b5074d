"""Node `recorder`: what is said on the topics of its namespace, into a bag that `ros2 bag` reads.

Messages are written as they come, serialised, with the time of their receipt. A topic is heard as
its publishers offer it: latched, reliable or best effort. All that waits is taken at once, up to a
hundred times a second: woken by every single message, this node took a third of a core.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import MessageInfo, Subscription

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.bag import BagWriter, next_bag
from sdiwm_ros.diagnostics import Health, Level
from sdiwm_ros.process import ManagedNode, run_node

LOOK_PERIOD = 0.1  # s between looks for new topics: what is said before the first one is missed
ROUND = 0.01  # s between rounds in which all that waits is taken
DEPTH = 1000  # messages of a topic that may wait for this process
GLOBAL = ("/clock", "/diagnostics", "/tf", "/tf_static")  # recorded whatever the namespace
NEVER = ("/parameter_events",)
MEGABYTE = 1_000_000


class RecorderNode(ManagedNode):
    """Every activation makes a new bag, every deactivation completes it."""

    def __init__(self) -> None:
        super().__init__("recorder")

    def configure(self) -> None:
        folder = Path(self.given["record_to"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SdiwmError(
                f"recorder: parameter 'record_to': {folder} is no folder to write to "
                f"({error.strerror}); name another."
            ) from None
        self._folder = folder

    def activate(self) -> None:
        self._bag = BagWriter(next_bag(self._folder))
        self.diagnostics.hardware = str(self._bag.folder)
        self._heard: dict[str, Subscription[Any]] = {}
        self._unknown: dict[str, str] = {}
        self._look()
        # On a clock that never stands still: topics appear whatever simulated time does.
        self.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        """Listen to topics that were not there at the last look; mind the disk."""
        for topic, kinds in self.get_topic_names_and_types():
            if topic not in self._heard and topic not in self._unknown and self._wanted(topic):
                self._listen(topic, kinds[0])
        free = shutil.disk_usage(self._folder).free / MEGABYTE
        if free < self.given["keep_free"]:
            self.fail(SdiwmError(f"recorder: {free:.0f} MB are free in {self._folder}; free some."))

    def _wanted(self, topic: str) -> bool:
        chosen = self.given["topics"].split()
        if chosen:
            return topic in {self.resolve_topic_name(name) for name in chosen}
        within = self.get_namespace().rstrip("/") + "/"
        return (topic in GLOBAL or topic.startswith(within)) and topic not in NEVER

    def _listen(self, topic: str, kind: str) -> None:
        offered = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        if not offered:
            return  # nobody speaks yet
        if not self._bag.add(topic, kind):
            self._unknown[topic] = kind
            self.get_logger().warning(f"{topic} is not recorded: its type {kind} is not known")
            return
        package, _, name = kind.partition("/msg/")
        write = partial(self._write, topic)
        self._heard[topic] = self.create_subscription(
            getattr(import_module(f"{package}.msg"), name), topic, write, as_offered(offered),
            raw=True,
        )  # fmt: skip

    def tick(self) -> None:
        """Take all that waits, then let more gather."""
        self._take()
        time.sleep(ROUND)

    def _take(self) -> None:
        for topic, subscription in self._heard.items():
            handle = subscription.handle
            with handle:
                while (taken := handle.take_message(subscription.msg_type, True)) is not None:
                    self._write(topic, *taken)

    def _write(self, topic: str, raw: bytes, info: MessageInfo) -> None:
        """Append one message; its time is that of its receipt, or the simulated one."""
        stamp = self.clock() if self.simulated_time else info["received_timestamp"]
        try:
            self._bag.write(topic, stamp, raw)
        except OSError as error:
            self.fail(SdiwmError(f"recorder: {self._bag.folder}: {error.strerror}; free some disk"))

    def assess(self) -> Health:
        values = {
            "bag": self._bag.folder,
            "topics": len(self._heard),
            "messages": self._bag.messages,
            "megabytes": self._bag.bytes / MEGABYTE,
            "not_recorded": " ".join(self._unknown),
        }
        return Health(Level.OK, f"recording to {self._bag.folder}", values)

    def deactivate(self) -> None:
        self._take()
        for subscription in self._heard.values():  # made after `activate`, so not undone for us
            self.destroy_subscription(subscription)
        self._bag.close()


def as_offered(offered: Sequence[QoSProfile]) -> QoSProfile:
    """The most that every publisher with these profiles gives to a subscription."""
    latched = all(each.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in offered)
    reliable = all(each.reliability == ReliabilityPolicy.RELIABLE for each in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until a signal; the exit status."""
    return run_node(RecorderNode, argv)


if __name__ == "__main__":
    sys.exit(main())
