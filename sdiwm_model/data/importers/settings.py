"""What an import is told: topics, joints, the time grid and facts about the task, from a YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sdiwm_model.errors import SdiwmError

REQUIRED_FACTS = ("name", "dt", "goals", "action_limit", "cost_unit", "goal_modality", "cameras")


@dataclass(frozen=True)
class Topics:
    """Where each stream is found; relative names get the import's namespace in front.

    goal_cost: one number a goal and sample, in units of the task's cost. goal: the name of the goal
    that an instruction means, said when it is; empty: `goal_words` tell. state: what is measured of
    the world beside the robot, for evaluation; empty: nothing is.
    """

    image: str
    joint_states: str
    command: str
    instruction: str
    goal_cost: str
    goal: str = ""
    state: str = ""

    def within(self, namespace: str) -> Topics:
        """The absolute names."""
        prefix = "/" + namespace.strip("/")

        def resolve(name: str) -> str:
            return name if not name or name.startswith("/") else f"{prefix.rstrip('/')}/{name}"

        return Topics(**{each.name: resolve(getattr(self, each.name)) for each in fields(self)})


@dataclass(frozen=True)
class Grid:
    """Seconds: the longest silence of a stream inside an episode, and what is left out around an
    instruction, when the scene may be laid out anew; model steps: the shortest episode kept.
    """

    max_gap: float = 0.2
    margin: float = 0.05
    min_steps: int = 20

    def __post_init__(self) -> None:
        for name, low, high in (("max_gap", 0.01, 10.0), ("margin", 0.0, 10.0),
                                ("min_steps", 2, 100_000)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise SdiwmError(f"grid.{name} is {value!r}: give a number")
            if not low <= value <= high:
                raise SdiwmError(f"grid.{name} is {value}: use {low} to {high}")


@dataclass(frozen=True)
class ImportSettings:
    """See config/import/reach.yaml, which explains every line.

    joints: names in the order of `proprio` and of the commands; goal_words: for each goal the
    words that name it; task: facts for training, as `EpisodeSpec.task` holds them.
    """

    topics: Topics
    joints: tuple[str, ...]
    goal_words: Mapping[str, tuple[str, ...]]
    task: Mapping[str, Any]
    grid: Grid = field(default_factory=Grid)

    @property
    def dt(self) -> float:
        """Seconds of a model step."""
        return float(self.task["dt"])

    def goal_of(self, sentence: str) -> int | None:
        """Index of the one goal that the sentence names; None for none or several."""
        return named_goal(sentence, self.task["goals"], self.goal_words)


def named_goal(
    sentence: str, goals: Sequence[str], goal_words: Mapping[str, Sequence[str]]
) -> int | None:
    """Index of the one goal of which the sentence holds a word; None for none or several."""
    words = set(re.findall(r"[^\W\d_]+", sentence.lower()))
    found = [index for index, goal in enumerate(goals) if words & set(goal_words[goal])]
    return found[0] if len(found) == 1 else None


def read_settings(path: Path, namespace: str = "") -> ImportSettings:
    """Read and check a settings file.

    Raises:
        SdiwmError: the file is missing or damaged, or a field is missing, unknown or wrong.
    """
    content = read_yaml(path)
    try:
        return _settings(content, namespace)
    except SdiwmError as error:
        raise SdiwmError(f"{path}: {error}") from None


def read_yaml(path: Path) -> Any:
    """The content of an import's settings file.

    Raises:
        SdiwmError: it is missing or no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing: name an import's settings with --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SdiwmError(f"{path} is no readable YAML: {error}") from None


def _settings(content: Any, namespace: str) -> ImportSettings:
    _check_keys("the file", content, ("topics", "joints", "goal_words", "task"), ("grid",))
    task = content["task"]
    _check_keys("task", task, REQUIRED_FACTS, None)
    _check_keys("goal_words", content["goal_words"], task["goals"])
    if len(task["action_limit"]) != len(content["joints"]):
        raise SdiwmError(
            f"task.action_limit has {len(task['action_limit'])} numbers for "
            f"{len(content['joints'])} joints: give one for each"
        )
    words = {
        goal: tuple(str(word).lower() for word in listed)
        for goal, listed in content["goal_words"].items()
    }
    return ImportSettings(
        topics=_build(Topics, "topics", content["topics"]).within(namespace),
        joints=tuple(content["joints"]),
        goal_words=words,
        task=task | {"action_limit": [float(np.float32(x)) for x in task["action_limit"]]},
        grid=_build(Grid, "grid", content.get("grid") or {}),
    )


Settings = TypeVar("Settings", Topics, Grid)


def _build(kind: type[Settings], name: str, content: Any) -> Settings:
    try:
        return kind(**content)
    except TypeError as error:
        said = str(error).partition("() ")[2] or str(error)
        raise SdiwmError(f"{name}: {said}") from None


def _check_keys(
    name: str, content: Any, required: tuple[str, ...], optional: tuple[str, ...] | None = ()
) -> None:
    """Refuse what is no mapping, a missing key, or an unknown one (`optional` None: any)."""
    if not isinstance(content, Mapping):
        raise SdiwmError(f"{name} holds no fields")
    if missing := [key for key in required if key not in content]:
        raise SdiwmError(f"{name} lacks '{missing[0]}'")
    unknown = [key for key in content if key not in required and key not in (optional or ())]
    if unknown and optional is not None:
        raise SdiwmError(f"{name} has an unknown field '{unknown[0]}'")
