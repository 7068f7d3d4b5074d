"""Starts a node: the scripts `planner_node` and so on, or `python -m sdiwm_ros.start planner`.

Importing ROS takes seconds on a busy host. Nothing moves before that: a signal then ends the
process at once and cleanly; from then on the node's own handling holds, see `process.run_node`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType


def run(node: str) -> int:
    """Import the module of `node` and run it; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    return int(import_module(f"sdiwm_ros.nodes.{node}").main())


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(0)


def _script(node: str) -> Callable[[], int]:
    return lambda: run(node)


simulator = _script("simulator")
observer = _script("observer")
language_goal = _script("language_goal")
planner = _script("planner")
guard = _script("guard")
mcu_bridge = _script("mcu_bridge")
recorder = _script("recorder")

if __name__ == "__main__":
    sys.exit(run(sys.argv.pop(1)))
