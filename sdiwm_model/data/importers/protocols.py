"""The seam between a recording's format and the episodes that training reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.importers.settings import ImportSettings


@dataclass(frozen=True)
class Skipped:
    """A part of a recording that makes no episode, and why."""

    reason: str


class Recording(Protocol):
    """One opened recording."""

    sentences: dict[int, list[str]]
    """Every instruction heard that names a goal, by the goal's index."""

    def spec(self) -> EpisodeSpec:
        """Shapes of the episodes, without facts about the task.

        Raises:
            SdiwmError: a stream that the settings name is missing or of the wrong type.
        """
        ...

    def episodes(self) -> Iterator[Episode | Skipped]:
        """The episodes in the order of time, one in memory at once."""
        ...


class Importer(Protocol):
    """A format: add one to `registry.IMPORTERS` and `sdiwm data import` reads it."""

    name: str

    def detects(self, source: Path) -> bool:
        """Whether `source`, a file or a folder that exists, looks like this format."""
        ...

    def open(self, source: Path, settings: ImportSettings) -> Recording:
        """Read what is small: times, joint states, commands, instructions.

        Raises:
            SdiwmError: the recording is damaged, or lacks a stream that the settings name.
        """
        ...
