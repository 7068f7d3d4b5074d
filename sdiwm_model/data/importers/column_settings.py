"""What an import of tables is told: which column is what, and facts about the task, from a YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sdiwm_model.data.importers.settings import named_goal, read_yaml
from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class Roles:
    """Names of columns by what they mean to us; several lie side by side in this order."""

    camera: str = ""
    proprio: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    goal_cost: tuple[str, ...] = ()
    reward: str = ""

    def names(self) -> list[str]:
        """All columns, each once."""
        vectors = (*self.proprio, *self.action, *self.state, *self.goal_cost)
        return list(dict.fromkeys(name for name in (self.camera, *vectors, self.reward) if name))

    def with_camera(self, camera: str) -> Roles:
        """The same with pictures from `camera`."""
        return replace(self, camera=camera)

    def changed_by(self, settings: ColumnSettings) -> Roles:
        """The same with what the settings name."""
        return replace(self, **settings.roles)


@dataclass(frozen=True)
class ColumnSettings:
    """See config/import/columns.yaml, which explains every line.

    roles: the fields of `Roles` that it names. size: height and width that pictures are brought to;
    None: they stay.
    best_reward: the reward at cost 0. goal_words: for each goal the words that name it.
    task: facts for training, as `EpisodeSpec.task` holds them.
    """

    roles: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    best_reward: float = 0.0
    goal_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reinterprets(self) -> bool:
        """Whether columns or facts are named, so that what an export kept does not count."""
        return bool(self.roles or self.task)

    def goal_of(self, sentence: str) -> int | None:
        """Index of the one goal that the sentence names; None for none or several."""
        goals = list(self.task["goals"])
        words = {goal: self.goal_words.get(goal, (goal.lower(),)) for goal in goals}
        return named_goal(sentence, goals, words)


def read_column_settings(path: Path | None) -> ColumnSettings:
    """Read and check a settings file; without one, nothing is said.

    Raises:
        SdiwmError: the file is missing or damaged, or a field is unknown or wrong.
    """
    if path is None:
        return ColumnSettings()
    content = read_yaml(path)
    try:
        return _settings(content)
    except SdiwmError as error:
        raise SdiwmError(f"{path}: {error}") from None


def _settings(content: Any) -> ColumnSettings:
    if not isinstance(content, Mapping):
        raise SdiwmError("the file holds no fields")
    names = [each.name for each in fields(Roles)]
    known = (*names, "size", "best_reward", "goal_words", "task")
    if unknown := [key for key in content if key not in known]:
        raise SdiwmError(f"the file has an unknown field '{unknown[0]}'; use {', '.join(known)}")
    best = content.get("best_reward", 0.0)
    if isinstance(best, bool) or not isinstance(best, (int, float)):
        raise SdiwmError(f"best_reward is {best!r}: give a number")
    for name in ("task", "goal_words"):
        if not isinstance(content.get(name, {}), Mapping):
            raise SdiwmError(f"{name} holds no fields")
    return ColumnSettings(
        roles={name: _role(name, content[name]) for name in names if name in content},
        size=_size(content.get("size")),
        best_reward=float(best),
        goal_words={
            goal: tuple(str(word).lower() for word in words)
            for goal, words in content.get("goal_words", {}).items()
        },
        task=_facts(content.get("task", {})),
    )


def _role(name: str, value: Any) -> str | tuple[str, ...]:
    if name in ("camera", "reward"):
        if not isinstance(value, str):
            raise SdiwmError(f"{name} is {value!r}: give the name of one column")
        return value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SdiwmError(f"{name} is {value!r}: give a list of columns")
    return tuple(value)


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and all(type(each) is int and each > 0 for each in value)
    if not whole or len(value) != 2:
        raise SdiwmError(f"size is {value!r}: give height and width in pixels, e.g. [64, 64]")
    return value[0], value[1]


def _facts(task: Mapping[str, Any]) -> Mapping[str, Any]:
    dt = task.get("dt", 1.0)
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not dt > 0:
        raise SdiwmError(f"task.dt is {dt!r}: give the seconds of a time step")
    for name in ("goals", "action_limit"):
        if not isinstance(task.get(name, []), list):
            raise SdiwmError(f"task.{name} is {task[name]!r}: give a list")
    limits = task.get("action_limit", [])
    if not all(isinstance(each, (int, float)) and each > 0 for each in limits):
        raise SdiwmError(f"task.action_limit is {limits!r}: give numbers above 0")
    return task
