"""What an operator sees in `sdiwm monitor`: every node's health, rates and the last events.

Rates come from the counters on /diagnostics, not from listening to fast topics: looking costs the
loop nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sdiwm_ros.diagnostics import Health, Level

SILENT_AFTER = 3.0  # s: nodes tell of themselves once a second
EVENTS = 10  # kept
STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.ERROR: "bold red"}


@dataclass
class NodeView:
    """One node: its newest word, when that was, s, and its counters' rates in 1/s."""

    health: Health
    heard: float
    rates: dict[str, float] = field(default_factory=dict)
    silent: bool = False


class LiveView:
    """Keeps what has been heard, and draws it. Times are seconds of one clock."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.events: deque[tuple[float, Level, str]] = deque(maxlen=EVENTS)
        self.instruction = ""

    def hear(self, node: str, health: Health, now: float) -> None:
        """A node has told of itself."""
        before = self.nodes.get(node)
        view = NodeView(health, now)
        if before is not None:
            view.rates = _rates(before, health, now)
        if before is None or before.silent or before.health.message != health.message:
            self.tell(health.level, f"{node}: {health.message}", now)
        self.nodes[node] = view

    def say(self, instruction: str, now: float) -> None:
        """An instruction has been given."""
        self.instruction = instruction
        self.tell(Level.OK, f"instruction: “{instruction}”", now)

    def tell(self, level: Level, event: str, now: float) -> None:
        """Something worth a line has happened."""
        self.events.append((now, level, event))

    def look(self, now: float) -> None:
        """Notice the nodes that have fallen silent."""
        for name, view in self.nodes.items():
            if not view.silent and now - view.heard > SILENT_AFTER:
                view.silent = True
                self.tell(Level.ERROR, f"{name}: silent", now)

    def draw(self, now: float) -> Group:
        """The whole picture."""
        table = Table(expand=True, title=f"instruction: {self.instruction or 'none yet'}")
        for title in ("node", "health", "p50 / p99 ms", "count (per second)"):
            table.add_column(title, overflow="fold")
        for name in sorted(self.nodes):
            view = self.nodes[name]
            health = Text(view.health.message, style=STYLES[view.health.level])
            if view.silent:
                health = Text(f"silent for {now - view.heard:.0f} s", style=STYLES[Level.ERROR])
            table.add_row(name, health, _timings(view.health.values), _counts(view))
        lines = [
            Text(f"{now - when:5.0f} s ago  {event}", style=STYLES[level])
            for when, level, event in reversed(self.events)
        ]
        return Group(table, Panel(Group(*lines), title="last events"))


def _rates(before: NodeView, health: Health, now: float) -> dict[str, float]:
    """How fast each counter has grown; kept from before where no time has passed."""
    elapsed = now - before.heard
    if elapsed < 0.5:  # told at once: too short for a rate
        return before.rates
    rates = {}
    for key, value in health.values.items():
        then = _count(before.health.values.get(key))
        if then is not None and (count := _count(value)) is not None:
            rates[key] = (count - then) / elapsed
    return rates


def _count(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isdigit() else None


def _timings(values: Mapping[str, object]) -> str:
    """Every pair `x_p50_ms`, `x_p99_ms`, in their order."""
    lines = []
    for key, value in values.items():
        name, found, _ = key.partition("_p50_ms")
        if found and str(value) != "nan":
            slow = values.get(f"{name}_p99_ms")
            lines.append(f"{name} {value}" + ("" if slow is None else f" / {slow}"))
    return "\n".join(lines)


def _counts(view: NodeView) -> str:
    """Every counter above zero, with its rate where it grows."""
    lines = []
    for key, value in view.health.values.items():
        if not _count(value):
            continue
        rate = view.rates.get(key, 0.0)
        lines.append(f"{key} {value}" + (f" ({rate:.1f})" if rate > 0 else ""))
    return "\n".join(lines)
