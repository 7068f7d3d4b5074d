"""What the simulator saw of a run, tick by tick: for the report, and to draw it afterwards.

The physics is deterministic, so an episode is drawn by replaying its seed, goal and actions.
ROS-free, and free of the simulator.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_ros.signals import Array, Command, CommandKind

KINDS = tuple(CommandKind)
SIMULATOR_FILE = "simulator.npz"


@dataclass
class EpisodeRecord:
    """One episode. `goal` None: the sentence names no single target, success is not known.

    `first_tick` and `ticks` point into the run's ticks; `changes` holds, for an instruction given
    while the arm moved, [tick within the episode, goal, sentence]; `nearest` is the target that
    the fingertip was closest to at the end.
    """

    index: int
    seed: int
    goal: int | None
    instruction: str
    first_tick: int
    ticks: int = 0
    changes: list[tuple[int, int | None, str]] = field(default_factory=list)
    success: bool | None = None
    wrong_target: bool = False
    passed_over_wrong: bool = False
    time_to_success: float | None = None
    nearest: str | None = None
    complete: bool = False

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.success:
            return f"touched after {self.time_to_success:.1f} s"
        if self.success is None:
            return f"names no single target; the arm ended nearest to {self.nearest}"
        return f"held another target ({self.nearest})" if self.wrong_target else "not reached"


@dataclass
class RunRecord:
    """A run of the simulator. Ticks: stamp and action; commands: receipt, stamp, kind, goal."""

    task: str
    goals: tuple[str, ...]
    physics_dt: float
    episodes: list[EpisodeRecord] = field(default_factory=list)
    tick_ns: list[int] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    commands: list[tuple[int, int, int, int]] = field(default_factory=list)
    tick_overruns: int = 0
    lost_periods: int = 0
    command_timeouts: int = 0
    refused_commands: int = 0

    def add_command(self, received_ns: int, command: Command) -> None:
        kind = KINDS.index(command.kind)
        self.commands.append((received_ns, command.stamp_ns, kind, command.goal))

    def save(self, folder: Path) -> None:
        """Write `simulator.npz` whole or not at all."""
        arrays: dict[str, Any] = {
            "tick_ns": np.array(self.tick_ns, dtype=np.int64),
            "actions": np.array(self.actions, dtype=np.float32),
            "commands": np.array(self.commands, dtype=np.int64).reshape(-1, 4),
        }
        content = asdict(self)
        for name in arrays:
            content.pop(name)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / SIMULATOR_FILE) as path, path.open("wb") as stream:
            np.savez(stream, json=np.array(json.dumps(content)), **arrays)


@dataclass(frozen=True)
class LoadedRun:
    """A saved run. commands (N, 4) int64: received ns, stamp ns, kind (index), goal number."""

    header: dict[str, Any]
    episodes: list[EpisodeRecord]
    tick_ns: NDArray[np.int64]
    actions: Array
    commands: NDArray[np.int64]

    def of_kind(self, kind: CommandKind) -> NDArray[np.int64]:
        return self.commands[self.commands[:, 2] == KINDS.index(kind)]


def load_run(folder: Path) -> LoadedRun:
    """Read `simulator.npz`.

    Raises:
        SdiwmError: it is missing or damaged.
    """
    path = folder / SIMULATOR_FILE
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(str(archive["json"]))
            episodes = [EpisodeRecord(**episode) for episode in header.pop("episodes")]
            return LoadedRun(
                header, episodes, archive["tick_ns"], archive["actions"], archive["commands"]
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SdiwmError(
            f"{path}: no readable record of the run ({error}); was the simulator killed?"
        ) from None
