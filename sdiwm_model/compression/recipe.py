"""What `sdiwm compress` is told: config/compression/*.yaml, or a user's own file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sdiwm_model.compression.steps import Foreseen, Step, parsed, read_step
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.variants import KINDS
from sdiwm_model.share import share_file

FOLDER = "config/compression"
FORMATS = ("cpp", *KINDS)
FIELDS = ("steps", "formats", "search")
CHOOSE = "choose"

Choices = dict[str, Any]


@dataclass(frozen=True)
class SearchSettings:
    """How `--under` compares recipes; config/compression/search.yaml has the meanings."""

    share: float = 0.25
    episodes: int = 20
    most: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SdiwmError(f"setting 'share' is {self.share}: use above 0, up to 1")
        for name in ("episodes", "most"):
            if getattr(self, name) < 1:
                raise SdiwmError(f"setting '{name}' is {getattr(self, name)}: use 1 or more")


@dataclass(frozen=True)
class Recipe:
    """Steps in order, what is written beside float ONNX and the engine, and what was chosen."""

    steps: tuple[Step, ...]
    formats: tuple[str, ...]
    choices: Choices = field(default_factory=dict)

    @property
    def needs_data(self) -> bool:
        return any(step.needs_data for step in self.steps)

    @property
    def label(self) -> str:
        """What tells it from the others of its file."""
        chosen = ", ".join(f"{name}={_short(value)}" for name, value in self.choices.items())
        return chosen or "as written"

    def foresee(self, start: Foreseen) -> Foreseen:
        """The model that comes out.

        Raises:
            SdiwmError: a step, the engine or a format is impossible there.
        """
        seen = start
        for step in self.steps:
            seen = step.foresee(seen)
        seen.need_calibration("the export")
        if "cpp" in self.formats:
            seen.need_gru("format 'cpp'")
        return seen


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as it is written: every `choose` in it stands for several."""

    path: Path
    recipes: tuple[Recipe, ...]
    search: SearchSettings

    @property
    def single(self) -> Recipe:
        """The recipe; SdiwmError where there are several."""
        if len(self.recipes) > 1:
            raise SdiwmError(
                f"{self.path} leaves {len(self.recipes)} recipes to choose from: say by what with "
                "--under, as in --under plan_ms=1 success_drop=2, or name another recipe"
            )
        return self.recipes[0]


def load_recipe(name: str, task: str) -> RecipeFile:
    """A recipe of config/compression, or of a file of the user's.

    Args:
        name: of a file in config/compression without its ending, or the path of a .yaml file.
        task: whose training settings its steps change.

    Raises:
        SdiwmError: naming file and field of what is wrong.
    """
    path = _find(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SdiwmError(
            f"{path} cannot be read ({reason}): {FOLDER} has recipes that can"
        ) from None
    try:
        return _read(path, content, task)
    except SdiwmError as error:
        raise SdiwmError(f"{path}: {error}") from None


def _find(name: str) -> Path:
    if name.endswith(".yaml"):
        path = Path(name)
        if not path.is_file():
            raise SdiwmError(f"--recipe {path} is no file")
        return path
    known = sorted(p.stem for p in share_file(f"{FOLDER}/deploy.yaml").parent.glob("*.yaml"))
    if name not in known:
        raise SdiwmError(
            f"--recipe {name} is unknown: choose one of {', '.join(known)}, or name a .yaml file"
        )
    return share_file(f"{FOLDER}/{name}.yaml")


def _read(path: Path, content: object, task: str) -> RecipeFile:
    if not isinstance(content, dict) or "steps" not in content:
        raise SdiwmError("a recipe has the field 'steps', a list")
    for name in content:
        if name not in FIELDS:
            raise SdiwmError(f"unknown field '{name}': a recipe has {', '.join(FIELDS)}")
    search = content.get("search") or {}
    if not isinstance(search, dict):
        raise SdiwmError("field 'search': write settings, as in {episodes: 20}")
    several = alternatives(
        {"steps": content["steps"] or [], "formats": content.get("formats") or []}
    )
    recipes = tuple(_recipe(each, choices, task) for each, choices in several)
    return RecipeFile(path, recipes, parsed(SearchSettings, search))


def _recipe(content: Mapping[str, Any], choices: Choices, task: str) -> Recipe:
    steps, formats = content["steps"], content["formats"]
    if not isinstance(steps, list) or not isinstance(formats, list):
        raise SdiwmError("fields 'steps' and 'formats' are lists")
    for each in formats:
        if each not in FORMATS:
            raise SdiwmError(f"format '{each}' is unknown: choose from {', '.join(FORMATS)}")
    made = tuple(_step(each, task) for each in steps if each is not None)
    return Recipe(made, tuple(formats), choices)


def _step(content: object, task: str) -> Step:
    if isinstance(content, str):
        content = {content: None}
    if not isinstance(content, dict) or len(content) != 1:
        raise SdiwmError(
            f"step {content!r}: write its name and settings, as in prune: {{ratio: 0.5}}"
        )
    ((name, settings),) = content.items()
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise SdiwmError(f"step '{name}': write settings, as in {{ratio: 0.5}}, not {settings!r}")
    return read_step(str(name), settings, task)


def alternatives(content: Any, path: str = "") -> list[tuple[Any, Choices]]:
    """Every way to read ``content``, where `choose: [a, b]` may stand for any value.

    Returns:
        The value and what was chosen in it: path -> value, list items by their number from 1.
    """
    if isinstance(content, Mapping) and set(content) == {CHOOSE}:
        options = content[CHOOSE]
        if not isinstance(options, list) or not options:
            raise SdiwmError(f"'{CHOOSE}' under '{path}' needs a list of values")
        return [
            (value, {path: value} | choices)
            for option in options
            for value, choices in alternatives(option, path)
        ]
    if isinstance(content, Mapping):
        parts = [alternatives(value, _joined(path, str(key))) for key, value in content.items()]
        return [(dict(zip(content, values, strict=True)), c) for values, c in _product(parts)]
    if isinstance(content, list):
        return _product([alternatives(v, _joined(path, str(i))) for i, v in enumerate(content, 1)])
    return [(content, {})]


def _product(parts: Sequence[list[tuple[Any, Choices]]]) -> list[tuple[list[Any], Choices]]:
    found = []
    for combination in itertools.product(*parts):
        choices: Choices = {}
        for _, chosen in combination:
            choices |= chosen
        found.append(([value for value, _ in combination], choices))
    return found


def _joined(path: str, key: str) -> str:
    return key if path in ("", "steps") else f"{path}.{key}"


def _short(value: object) -> str:
    return "none" if value is None else json.dumps(value).replace('"', "").replace(" ", "")
