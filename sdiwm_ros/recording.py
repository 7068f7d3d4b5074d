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
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_ros.signals import Array, Command, CommandKind

KINDS = tuple(CommandKind)
SIMULATOR_FILE = "simulator.npz"
COMMANDS_PER_TICK = 2  # at most: a plan and, when it is late, a fallback before it


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


class Rows:
    """Room for `capacity` rows (width,), all of it taken at once: a long run must not grow."""

    def __init__(self, capacity: int, width: int, kind: type[np.generic]) -> None:
        self._rows = np.full((capacity, width), -1, kind)  # written to, so that pages exist
        self.count = 0  # rows given, those beyond the room included

    @property
    def capacity(self) -> int:
        return len(self._rows)

    def add(self, row: ArrayLike) -> None:
        if self.count < self.capacity:
            self._rows[self.count] = row
        self.count += 1

    @property
    def kept(self) -> NDArray[Any]:
        """The rows (N, width) that there was room for."""
        return self._rows[: self.count]


class RunRecord:
    """A run of the simulator. Ticks: stamp and action; commands: receipt, stamp, kind, goal."""

    def __init__(
        self, task: str, goals: tuple[str, ...], physics_dt: float, actions: int, room: int
    ) -> None:
        """actions: numbers in an action. room: ticks to keep; later ones are counted only."""
        self.task, self.goals, self.physics_dt = task, goals, physics_dt
        self.episodes: list[EpisodeRecord] = []
        self.tick_overruns = 0
        self.lost_periods = 0
        self.command_timeouts = 0
        self.refused_commands = 0
        self._room = room
        self._stamps = Rows(room, 1, np.int64)
        self._actions = Rows(room, actions, np.float32)
        self._commands = Rows(COMMANDS_PER_TICK * room, 4, np.int64)

    @property
    def ticks(self) -> int:
        """How many ticks there have been."""
        return self._stamps.count

    @property
    def full(self) -> bool:
        """Whether there is room for no more ticks."""
        return self.ticks >= self._room

    def add_tick(self, stamp_ns: int, action: Array) -> None:
        """action (A,) was held from `stamp_ns` on."""
        self._stamps.add(stamp_ns)
        self._actions.add(action)

    def add_command(self, received_ns: int, command: Command) -> None:
        kind = KINDS.index(command.kind)
        self._commands.add((received_ns, command.stamp_ns, kind, command.goal))

    def begin_episode(self, record: EpisodeRecord) -> None:
        """Keep what `record` will say, where there is room for its ticks."""
        if not self.full:
            self.episodes.append(record)

    def save(self, folder: Path) -> None:
        """Write `simulator.npz` whole or not at all."""
        arrays: dict[str, Any] = {
            "tick_ns": self._stamps.kept[:, 0],
            "actions": self._actions.kept,
            "commands": self._commands.kept,
        }
        for episode in self.episodes:
            episode.complete &= episode.first_tick + episode.ticks <= self._room
        content = {key: value for key, value in vars(self).items() if not key.startswith("_")} | {
            "episodes": [asdict(episode) for episode in self.episodes],
            "unrecorded_ticks": max(0, self.ticks - self._room),
        }
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
