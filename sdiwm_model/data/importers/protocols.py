"""The seam between the formats of other programs and the episodes that training reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sdiwm_model.data.episodes import Episode, EpisodeSpec

if TYPE_CHECKING:
    from sdiwm_model.data.shards import ShardReader


@dataclass(frozen=True)
class Skipped:
    """A part of a recording that makes no episode, and why."""

    reason: str


@dataclass(frozen=True)
class ImportOptions:
    """What the command line says of an import.

    config: the format's settings file; None: the recording has to tell everything.
    namespace: in front of the settings' relative topics (ROS bags).
    ray: video is decoded by the workers of a Ray cluster instead of threads of this process.
    """

    config: Path | None = None
    namespace: str = ""
    ray: bool = False


@dataclass(frozen=True)
class ExportOptions:
    """What the command line says of an export.

    lossless: pictures come back bit for bit; larger files where the format stores video.
    """

    lossless: bool = False


class Recording(Protocol):
    """One opened recording."""

    sentences: dict[int, list[str]]
    """Every instruction heard that names a goal, by the goal's index."""
    notes: list[str]
    """What is unusual about the recording, naming it, though nothing is lost by it."""

    def spec(self) -> EpisodeSpec:
        """Shapes of the episodes, and what is known of the task without its instructions."""
        ...

    def episodes(self, start: int = 0) -> Iterator[Episode | Skipped]:
        """The episodes and what makes none, in the recording's order, one in memory at once.

        The first `start` of them are left out: an import that was stopped goes on there. A seed of
        -1 says that the recording knows none: the import then numbers the episodes.

        Raises:
            SdiwmError: what is left of the recording cannot be read.
        """
        ...


@runtime_checkable
class Format(Protocol):
    """A format that can be read, written, or both.

    Register an object of this shape in the entry-point group `sdiwm.formats`; its module is
    imported to list the formats, so what is heavy is imported in the methods.
    """

    description: str
    """How it is recognised, e.g. "a folder with meta/info.json"."""

    def detects(self, source: Path) -> bool:
        """Whether `source`, a file or a folder that exists, is of this format and of no other."""
        ...

    def open(self, source: Path, options: ImportOptions) -> Recording:
        """Read what is small: shapes, times, facts.

        Raises:
            SdiwmError: the recording is damaged, lacks what the settings name, or the format is
                only written.
        """
        ...

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        """Write all episodes to `out`, which does not exist; whole or not at all.

        Returns:
            What the format cannot represent and `out` therefore lacks, in words; empty where
            importing `out` gives the same episodes.

        Raises:
            SdiwmError: these episodes cannot be written in this format, or it is only read.
        """
        ...


@runtime_checkable
class BulkFormat(Format, Protocol):
    """A format of so many files that they are decoded beside each other."""

    def ingest(
        self, sources: Sequence[Path], options: ImportOptions, out: Path, command: str
    ) -> dict[str, Any]:
        """Write all of `sources` to the folder `out` as `convert` does; return its manifest."""
        ...
