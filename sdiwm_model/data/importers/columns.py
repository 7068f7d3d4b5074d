"""Data sets that are tables, a row a time step and named columns, as episodes.

LeRobot's, stable-worldmodel's and Minari's are such; a format only says what columns there are and
reads them. What `sdiwm data export` wrote carries our spec and task and comes back as it was. For
others, and where the settings name columns or facts, each column's meaning is the format's
convention unless the settings say otherwise:

- action: divided by `task.action_limit`; where that is not given, by the largest absolute value in
  the data set, unless all lie in [-1, 1] already. The last one of an episode is unused and 0 where
  the data has none.
- goal_cost: the columns named, or one goal at `best_reward` - reward. A column whose name begins
  with `next.` belongs to the row after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.importers.column_settings import ColumnSettings, Roles
from sdiwm_model.data.importers.pictures import fitted
from sdiwm_model.data.importers.protocols import Skipped
from sdiwm_model.data.manifest import spec_of
from sdiwm_model.errors import SdiwmError

FIELDS = ("proprio", "action", "goal_cost", "state")  # of an episode that are vectors


@dataclass(frozen=True)
class Column:
    """Of one time step: numpy's name of the dtype, and the shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_picture(self) -> bool:
        """Whether this is uint8 (H, W, 3) or (3, H, W)."""
        return (
            self.dtype == "uint8" and len(self.shape) == 3 and 3 in (self.shape[0], self.shape[2])
        )


@dataclass
class Table:
    """One episode: columns (T, …) by name, and what is constant in it. goal None: not told."""

    columns: dict[str, NDArray[Any]]
    instruction: str = ""
    goal: int | None = None
    behaviour: str = "recorded"
    seed: int = -1


class ColumnSource(Protocol):
    """An opened data set."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column that holds numbers or pictures."""
        ...

    @property
    def roles(self) -> Roles:
        """What columns mean by the format's convention; of what sdiwm wrote, by its own."""
        ...

    @property
    def dt(self) -> float | None:
        """Seconds of a time step; None where the format does not tell."""
        ...

    @property
    def ours(self) -> Mapping[str, Any] | None:
        """What `our_facts` gave when sdiwm wrote it."""
        ...

    def __len__(self) -> int:
        """How many episodes there are."""
        ...

    def instructions(self) -> Sequence[str]:
        """Every sentence that some episode was told, each once."""
        ...

    def read(self, index: int, names: Sequence[str]) -> Table:
        """Episode `index` with the columns `names`.

        Raises:
            SdiwmError: it is damaged.
        """
        ...


@dataclass
class ColumnRecording:
    """See `protocols.Recording`."""

    path: Path
    source: ColumnSource
    settings: ColumnSettings
    sentences: dict[int, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ours = self.source.ours
        self._ours = None if ours is None or self.settings.reinterprets else self._our_spec(ours)
        self._roles = self.source.roles if self._ours else self._chosen_roles()
        self._spec = self._ours or self._foreign_spec()
        if self._spec.task.get("goals") and not self._ours:
            for sentence in self.source.instructions():
                goal = self._goal_of(sentence)
                if sentence and goal is not None:
                    self.sentences.setdefault(goal, []).append(sentence)

    def spec(self) -> EpisodeSpec:
        return self._spec

    def episodes(self, start: int = 0) -> Iterator[Episode | Skipped]:
        for index in range(start, len(self.source)):
            try:
                table = self.source.read(index, self._roles.names())
                yield self._episode(table)
            except SdiwmError as error:
                yield Skipped(f"{self.path}: episode {index}: {error}")

    def _our_spec(self, ours: Mapping[str, Any]) -> EpisodeSpec:
        spec = spec_of(ours)
        height, width = self.settings.size or spec.image[:2]
        return replace(spec, image=(height, width, 3))

    def _chosen_roles(self) -> Roles:
        roles = self.source.roles.changed_by(self.settings)
        cameras = [name for name, column in self.source.columns.items() if column.is_picture]
        if not cameras:
            raise SdiwmError(
                f"{self.path} has no pictures (uint8 height x width x 3); there is: "
                f"{', '.join(self.source.columns)}; record it again with a camera"
            )
        if not roles.camera and len(cameras) > 1:
            raise SdiwmError(
                f"{self.path} has several cameras, {', '.join(cameras)}: name one as `camera` in "
                "--config"
            )
        roles = roles.with_camera(roles.camera or cameras[0])
        for name in roles.names():
            if name not in self.source.columns:
                known = ", ".join(self.source.columns)
                raise SdiwmError(f"{self.path} has no column '{name}'; there is: {known}")
        if roles.camera not in cameras:
            column = self.source.columns[roles.camera]
            raise SdiwmError(
                f"{self.path}: '{roles.camera}' is {column.dtype} {column.shape}, no picture "
                "(uint8 height x width x 3)"
            )
        for name in roles.action:
            if np.dtype(self.source.columns[name].dtype).kind != "f":
                raise SdiwmError(
                    f"{self.path}: '{name}' holds whole numbers, as for discrete actions; only "
                    "continuous ones can be imported"
                )
        return roles

    def _foreign_spec(self) -> EpisodeSpec:
        roles, task = self._roles, dict(self.settings.task)
        dt = task.get("dt", self.source.dt)
        if dt is None:
            raise SdiwmError(f"{self.path} does not tell its time step: give `task.dt` in --config")
        costs = 1 if roles.reward else self._width(roles.goal_cost)
        facts = {
            "name": self.path.stem,
            "goals": ["task"] if costs == 1 else [],
            "cost_unit": 1.0,
            "goal_modality": "words",
            "cameras": [roles.camera.rpartition(".")[2]],
            **task,
            "dt": float(dt),
        }
        if len(facts["goals"]) != costs:
            raise SdiwmError(
                f"{self.path}: {len(facts['goals'])} goals, but {costs} numbers in `goal_cost`: "
                "name `task.goals` and a column with a cost for each in --config"
            )
        limit = task.get("action_limit") or self._largest_actions()
        if len(limit) != self._width(roles.action):
            raise SdiwmError(
                f"{self.path}: {self._width(roles.action)} numbers an action: give as many in "
                "`task.action_limit`"
            )
        facts["action_limit"] = [float(np.float32(each)) for each in limit]
        height, width = self.settings.size or _height_width(self.source.columns[roles.camera])
        return EpisodeSpec(
            image=(height, width, 3),
            proprio=self._width(roles.proprio),
            action=self._width(roles.action),
            goals=costs,
            state=self._width(roles.state),
            task=facts,
        )

    def _width(self, names: Sequence[str]) -> int:
        return sum(int(np.prod(self.source.columns[name].shape)) for name in names)

    def _largest_actions(self) -> list[float]:
        """Of every number of an action the largest absolute value; 1 where all are within 1."""
        names = self._roles.action
        largest = np.zeros(self._width(names), np.float32)
        for index in range(len(self.source) if names else 0):
            try:
                action = _joined(self.source.read(index, names), names)
            except SdiwmError:
                continue  # `episodes` says so
            finite = np.where(np.isfinite(action), np.abs(action), 0.0)
            largest = np.maximum(largest, finite.max(axis=0, initial=0.0))
        scaled = bool((largest <= 1.0).all())
        return [1.0 if scaled or each == 0.0 else float(each) for each in largest]

    def _episode(self, table: Table) -> Episode:
        roles = self._roles
        vectors = {name: _joined(table, getattr(roles, name)) for name in FIELDS}
        if not self._ours:
            limit = np.array(self._spec.task["action_limit"], np.float32)
            vectors["action"] = np.clip(vectors["action"] / limit, -1.0, 1.0)
            if len(vectors["action"]) and not np.isfinite(vectors["action"][-1]).all():
                vectors["action"][-1] = 0.0
            if roles.reward:
                reward = _joined(table, [roles.reward])
                vectors["goal_cost"] = np.float32(self.settings.best_reward) - reward
        return Episode(
            frames=_pictures(table.columns[roles.camera], self._spec.image, self.settings.size),
            proprio=vectors["proprio"],
            action=vectors["action"],
            goal_cost=vectors["goal_cost"],
            state=vectors["state"],
            instruction=table.instruction,
            goal=self._goal(table),
            behaviour=table.behaviour,
            seed=table.seed,
            source=str(self.path),
        )

    def _goal(self, table: Table) -> int:
        """The episode's goal, as it was told or else by its sentence; -1 where there are none.

        Raises:
            SdiwmError: the sentence names no single goal.
        """
        if table.goal is not None:
            return table.goal
        if not self._spec.task["goals"]:
            return -1
        goal = self._goal_of(table.instruction)
        if goal is None:
            raise SdiwmError(f"'{table.instruction}' names no single goal")
        return goal

    def _goal_of(self, sentence: str) -> int | None:
        return 0 if len(self._spec.task["goals"]) == 1 else self.settings.goal_of(sentence)


def _joined(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """The columns side by side, flat: (T, width) float32; a `next.` column comes a row later."""
    steps = len(next(iter(table.columns.values())))
    parts = []
    for name in names:
        values = np.asarray(table.columns[name], np.float32).reshape(steps, -1)
        parts.append(np.concatenate([values[:1], values[:-1]]) if _is_next(name) else values)
    return np.concatenate(parts, axis=1) if parts else np.zeros((steps, 0), np.float32)


def _is_next(name: str) -> bool:
    return name.startswith("next.")


def _height_width(column: Column) -> tuple[int, int]:
    shape = column.shape if column.shape[2] == 3 else (*column.shape[1:], 3)
    return shape[0], shape[1]


def _pictures(
    values: NDArray[Any], image: tuple[int, int, int], size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3) of `size` from (T, H, W, 3) or (T, 3, H, W).

    Raises:
        SdiwmError: without a size, theirs is not the data set's.
    """
    pictures = values if values.shape[-1] == 3 else np.moveaxis(values, 1, -1)
    if size is not None:
        pictures = np.stack([fitted(np.ascontiguousarray(each), size) for each in pictures])
    if pictures.shape[1:] != image:
        raise SdiwmError(f"pictures of {pictures.shape[1:]} among those of {image}; give `size`")
    return np.ascontiguousarray(pictures)
