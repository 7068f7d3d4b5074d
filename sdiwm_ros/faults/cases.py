"""What a fault is: how it is injected and cleared, and who must say so.

A fault's own timeout is how long it goes unnoticed by design: a picture is trusted for the
observer's `image_timeout`, a command lives for the robot's `timeouts.command`, and so on; what is
refused on sight has none. A trial draws a case of its fault at random.

    detected    the node that is responsible says so on /diagnostics, in words or in a count
                that grows; or it refuses in words what it was asked
    safe        see `sdiwm_ros.faults.measure`
    recovered   soon after the fault was cleared, and without anybody's help but a restart of a
                process that was killed, the graph controls and every node says that it is well;
                what else is asked is told with the fault
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sdiwm_ros.diagnostics import Level
from sdiwm_ros.faults.bed import Bed
from sdiwm_ros.faults.measure import Answer

Check = Callable[[Bed, float], bool]
"""Whether something holds of what was heard since a time (monotonic s)."""


@dataclass(frozen=True)
class Case:
    """One way in which a fault happens.

    timeout     seconds that it goes unnoticed by design
    inject      makes it happen; what a node answered in words, if one was asked
    clear       ends it
    detected    asked until it holds, unless a node has answered in words
    recovered   what must hold beside the graph's health, once it is cleared
    """

    timeout: float
    inject: Callable[[], str | None]
    clear: Callable[[], None]
    detected: Check
    recovered: Check = field(default=lambda bed, since: True)


@dataclass(frozen=True)
class Fault:
    """A kind of fault; `recovery` are the seconds within which the graph must be well again."""

    name: str
    answer: Answer
    draw: Callable[[Bed], Case]
    recovery: float = 3.0
    meaning: str = ""


def says(words: str, *nodes: str) -> Check:
    """One of the nodes warns in words that match."""

    def check(bed: Bed, since: float) -> bool:
        return any(
            said.at > since
            and said.node in nodes
            and said.health.level is not Level.OK
            and re.search(words, said.health.message)
            for said in bed.injector.said
        )

    return check


def counts(key: str, node: str) -> Callable[[Bed], Check]:
    """A node's figure is larger than when this was called."""

    def figure(bed: Bed) -> int:
        return int(str(bed.injector.health_of(node).values.get(key, 0)))

    def since_now(bed: Bed) -> Check:
        first = figure(bed)
        return lambda bed, since: figure(bed) > first

    return since_now
