"""A running graph to inject faults into, trial by trial."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware.on_host import FAST, build_link
from sdiwm_model.firmware.program import Contents
from sdiwm_model.shipped import bundle_folder
from sdiwm_ros.configuration import NODES
from sdiwm_ros.diagnostics import Level
from sdiwm_ros.faults import corruption
from sdiwm_ros.faults.injector import CAMERA, JOINTS, REMAPPED, Injector, speeds
from sdiwm_ros.faults.link import FaultyChip
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.privileges import schedule
from sdiwm_ros.robot import robot_of
from sdiwm_ros.signals import CommandKind
from sdiwm_ros.trial import MODEL_NODES

START_PATIENCE = 180.0  # s until the arm moves: the first start compiles the engine
MOVING = 0.15  # of a joint's limit: faults are injected while the arm moves at least so fast
STEADY = 10  # commands of fresh plans in a row: then the graph controls
FIRST_TIME = 10**13  # ns: a simulated clock that jumps back must not fall below zero
PRIORITY = 20  # SCHED_FIFO where permitted, as the nodes have by default
PHASE = 0.1  # s at most, drawn at random, from moving to injection


@dataclass(frozen=True)
class BedSettings:
    """Which graph: task and model, `chip`: plans come from a microcontroller on a line that can
    fail, and `stand_in`: from this host when it does; `simulated`: the clock is the simulator's,
    and can jump.
    """

    task: str
    model: str
    seed: int
    folder: Path
    chip: bool = False
    stand_in: bool = True
    simulated: bool = False


class RemappedGraph(Graph):
    """The graph with the injector's streams in between."""

    def command(self, node: str, parameter_file: Path) -> list[str]:
        command = super().command(node, parameter_file)
        for topic, instead in REMAPPED.get(node, {}).items():
            command += ["-r", f"{topic}:={instead}"]
        return command

    def restart(self, node: str) -> None:
        """Start a node anew that has ended."""
        schedule(0)  # a process is born with its parent's priority, and starting takes a while
        self._start(node)
        schedule(PRIORITY)


class Bed:
    """See the module's docstring; a context manager that leaves no process behind."""

    def __init__(self, settings: BedSettings, random: np.random.Generator) -> None:
        self.random = random
        self.robot = robot_of("", settings.task)
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Bed:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        settings, enter = self._settings, self._stack.enter_context
        scratch = Path(enter(tempfile.TemporaryDirectory(prefix="sdiwm-faults-")))
        self.bundle = scratch / "bundle"
        shutil.copytree(bundle_folder(settings.model, settings.task), self.bundle)
        nodes: tuple[str, ...] = NODES
        if settings.chip:
            contents = Contents.of_bundle(self.bundle)
            self._port = scratch / "chip"
            program = build_link(contents, scratch, FAST)
            self.chip = enter(FaultyChip(program, self._port, settings.seed))
            nodes = (*NODES, "mcu_bridge")
        environment = private_environment()
        self.graph = RemappedGraph(self._parameters(), environment, settings.folder, nodes)
        enter(self.graph)
        self.injector = enter(Injector(environment, self.robot, settings.simulated))
        if settings.simulated:
            self._shift_stamps()
        schedule(PRIORITY)  # what stands in between must not be late
        self._stack.callback(schedule, 0)
        self.await_health(START_PATIENCE)

    def _shift_stamps(self) -> None:
        """Stamp sensors by the clock that the injector shows the nodes, not by the simulator's."""
        injector = self.injector
        injector.jumped_ns = FIRST_TIME
        for topic, kind in ((CAMERA, Image), (JOINTS, JointState)):
            shift = corruption.shifted(kind, lambda: injector.jumped_ns)
            injector.streams[topic].transform = shift

    def _parameters(self) -> dict[str, dict[str, Any]]:
        """The changes to config/control.yaml."""
        settings = self._settings
        model = {"task": settings.task, "model": str(self.bundle)}
        nodes: dict[str, dict[str, Any]] = {node: dict(model) for node in MODEL_NODES}
        nodes["planner"]["seed"] = settings.seed
        nodes["guard"] = {"task": settings.task}
        nodes["simulator"] = {"task": settings.task, "seed": settings.seed}
        if settings.chip:
            nodes["planner"]["plan_source"] = "mcu"
            nodes["planner"]["on_mcu_loss"] = "host" if settings.stand_in else "safe"
            nodes["mcu_bridge"] = {**model, "port": str(self._port)}
        if settings.simulated:
            nodes["simulator"]["publish_clock"] = True
            for node in (*MODEL_NODES, "guard"):
                nodes[node]["use_sim_time"] = True
        return nodes

    def await_health(self, seconds: float) -> None:
        """Wait until the graph controls and every node says that it is well.

        Raises:
            SdiwmError: it does not, or a node ended; in the nodes' own words.
        """
        since = time.monotonic()
        deadline = since + seconds
        while not self.injector.until(lambda: self.well(since), 1.0):
            self.graph.check()
            if time.monotonic() > deadline:
                states = "; ".join(f"{n}: {h.message}" for n, h in self.injector.health.items())
                raise SdiwmError(f"the graph did not control within {seconds:.0f} s ({states}).")

    def await_motion(self, seconds: float = 20.0) -> None:
        """Wait until the arm moves, and then for a moment drawn at random."""
        limits = self.robot.velocity

        def moving() -> bool:
            newest = self.injector.commands[-1:]
            return bool(newest) and newest[0].is_action and speeds(newest[0], limits) > MOVING

        if not self.injector.until(moving, seconds):
            raise SdiwmError(f"the arm did not move within {seconds:.0f} s.")
        self.injector.spin(self.random.uniform(0.0, PHASE))

    def controls(self, since: float) -> bool:
        """Whether `STEADY` commands of fresh plans in a row have come after `since`."""
        newest = [c for c in self.injector.commands[-STEADY:] if c.at > since]
        return len(newest) == STEADY and all(c.kind is CommandKind.PLAN for c in newest)

    def well(self, since: float) -> bool:
        """Whether the graph has controlled since, and no node says otherwise."""
        heard = self.injector.health
        silent = [node for node in self.graph.processes if node not in heard]
        unwell = [node for node, health in heard.items() if health.level is not Level.OK]
        return self.controls(since) and not silent and not unwell
