"""One run of the whole graph from start to end, as the demo and the bench do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.runtime.wam_settings import WamSettings
from sdiwm_ros.configuration import NODES, read_defaults
from sdiwm_ros.diagnostics import Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.host import HostWatch
from sdiwm_ros.models import check_named
from sdiwm_ros.monitor import Monitor
from sdiwm_sim.task import make_task

START_PATIENCE = 180.0  # s until the first command: the first start compiles the engine
GLANCE = 0.1  # s between looks at the processes
ROOM = 10.0  # minutes of a record, at least
MOVING_AFTER = 0.4  # s into an episode the arm is well under way
LANGUAGE = "language_goal"
BRIDGE = "mcu_bridge"
MODEL_NODES = ("observer", LANGUAGE, "planner")


@dataclass(frozen=True)
class TrialSettings:
    """What to run. `episodes` 0: run for `duration` seconds instead. `changes`: how many times,
    after that, a new instruction is given while the arm moves, where the task has several goals.
    """

    task: str
    backend: str
    model: str
    seed: int
    folder: Path
    instruction: str = ""
    episodes: int = 0
    duration: float = 0.0
    changes: int = 0
    wam: WamSettings = WamSettings(asynchronous=True)

    @property
    def room(self) -> float:
        """Minutes that the records have room for."""
        return max(ROOM, 1.5 * self.duration / 60.0)

    @property
    def on_chip(self) -> bool:
        """Whether an emulated microcontroller plans."""
        return self.backend == "mcu"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The processes of the run."""
        return (*NODES, BRIDGE) if self.on_chip else NODES

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The changes to config/control.yaml."""
        host = "native" if self.on_chip else self.backend
        shared = {"task": self.task, "model": self.model, "backend": host}
        nodes: dict[str, dict[str, Any]] = {node: dict(shared) for node in MODEL_NODES}
        nodes["planner"] |= {"seed": self.seed, "record_to": str(self.folder)}
        nodes["planner"] |= {
            "wam_steps": self.wam.steps,
            "wam_mode": self.wam.mode,
            "wam_every": self.wam.every,
            "wam_proposals": self.wam.proposals,
            "wam_asynchronous": self.wam.asynchronous,
            "inference_delay": self.wam.delay,
        }
        if self.on_chip:
            nodes["planner"]["plan_source"] = "mcu"
            nodes[BRIDGE] = {**shared, "seed": self.seed}
        nodes["guard"] = {"task": self.task}
        nodes["simulator"] = {
            "task": self.task,
            "seed": self.seed,
            "episodes": self.episodes,
            "instruction": self.instruction,
            "record_to": str(self.folder),
            "record_minutes": self.room,
        }
        return nodes


def run_trial(settings: TrialSettings, on_progress: Callable[[Monitor, float], None]) -> list[int]:
    """Run; afterwards the folder holds the nodes' records, logs and the imagined paths.

    Args:
        on_progress: called about ten times a second with the monitor and the seconds run.

    Returns:
        When each change of instruction was published, ns.

    Raises:
        SdiwmError: a node ended, refused the instruction, or never began; in its own words.
    """
    asked = replace(settings.wam, asynchronous=False)  # of a command line, which does not say so
    check_named(settings.backend, settings.model, settings.task, asked)
    environment = private_environment()
    period = float(read_defaults("planner")["period"])
    published: list[int] = []
    graph = Graph(settings.parameters(), environment, settings.folder, settings.nodes)
    with graph, Monitor(environment) as monitor:
        _await_start(graph, monitor)
        started = time.monotonic()
        with HostWatch(settings.folder, graph.processes, period, 60 * settings.room) as host:
            while not _finished(settings, monitor, time.monotonic() - started):
                _look(graph, monitor)
                host.sample()
                on_progress(monitor, time.monotonic() - started)
        sentences = plain_sentences(settings.task) if settings.changes else {}
        changes = settings.changes if len(sentences) > 1 else 0
        for index in range(changes):
            published.append(_change_while_moving(graph, monitor, sentences, index))
        monitor.spin(MOVING_AFTER if changes else 0.0)
    with atomic_path(settings.folder / "imagined.npz") as path, path.open("wb") as stream:
        np.savez(stream, **monitor.imagined_arrays())
    return published


def _look(graph: Graph, monitor: Monitor) -> None:
    monitor.spin(GLANCE)
    graph.check()
    health = monitor.health_of(LANGUAGE)
    if health.level is Level.ERROR:
        raise SdiwmError(health.message)


def _await_start(graph: Graph, monitor: Monitor) -> None:
    deadline = time.monotonic() + START_PATIENCE
    while True:
        _look(graph, monitor)
        if monitor.episodes or "real_time_factor" in monitor.health_of("simulator").values:
            return
        if time.monotonic() > deadline:
            states = "; ".join(f"{node}: {h.message}" for node, h in monitor.health.items())
            raise SdiwmError(f"no command within {START_PATIENCE:.0f} s ({states or 'silence'}).")


def _finished(settings: TrialSettings, monitor: Monitor, elapsed: float) -> bool:
    if settings.episodes:
        return len(monitor.episodes) >= settings.episodes
    return elapsed >= settings.duration


def plain_sentences(task: str) -> dict[str, str]:
    """The plainest instruction for each goal of ``task``, by the goal's name."""
    made = make_task(task)
    return {goal: made.train_instructions(i)[0] for i, goal in enumerate(made.goals)}


def _change_while_moving(
    graph: Graph, monitor: Monitor, sentences: Mapping[str, str], index: int
) -> int:
    """At the next episode, once the arm is under way, name another target; when that was, ns."""
    heard = len(monitor.instructions)
    while len(monitor.instructions) == heard:
        _look(graph, monitor)
    monitor.spin(MOVING_AFTER)
    current = monitor.instructions[-1]
    others = [sentence for goal, sentence in sentences.items() if goal not in current]
    return monitor.say(others[index % len(others)])
