"""The loop of `sdiwm monitor`: hear, note, draw."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from sdiwm_ros.diagnostics import Level
from sdiwm_ros.graph import joined_environment
from sdiwm_ros.live_view import LiveView
from sdiwm_ros.monitor import Monitor

REDRAW = 0.25  # s


def watch(namespace: str, seconds: float) -> None:
    """Draw the graph's state until Ctrl-C, or for `seconds` where that is not 0.

    Args:
        namespace: whose nodes are shown, such as `left`; empty: everybody's.
    """
    namespace = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
    view = LiveView()
    began = time.monotonic()
    environment = joined_environment()
    view.tell(Level.OK, f"listening in ROS domain {environment['ROS_DOMAIN_ID']}", began)
    with (
        Monitor(environment, namespace) as monitor,
        Live(console=Console(), auto_refresh=False) as live,
    ):
        while True:
            monitor.spin(REDRAW)
            now = time.monotonic()
            _note(view, monitor, namespace, now)
            live.update(view.draw(now), refresh=True)
            if seconds and now - began >= seconds:
                return


def _note(view: LiveView, monitor: Monitor, namespace: str, now: float) -> None:
    """Move what the monitor has heard since the last look into the view."""
    while monitor.instructions:
        view.say(monitor.instructions.pop(0), now)
    while monitor.episodes:
        episode = monitor.episodes.pop(0)
        level = Level.OK if episode["success"] else Level.WARN
        view.tell(level, f"episode {episode['index']}: {episode['ending']}", now)
    while monitor.health:
        name, health = monitor.health.popitem()
        if f"/{name}".startswith(f"{namespace}/"):
            view.hear(name, health, now)
    monitor.imagined.clear()
    view.look(now)
