"""From recordings to one folder of episode shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.importers.protocols import (
    BulkFormat,
    Format,
    ImportOptions,
    Recording,
    Skipped,
)
from sdiwm_model.data.importers.registry import find_format
from sdiwm_model.data.shards import ShardWriter, read_manifest
from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class _Place:
    """How far an import is: number of the source, and what became of its parts so far."""

    source: int = 0
    episodes: int = 0
    left_out: int = 0

    @property
    def events(self) -> int:
        """How many parts of the source are done."""
        return self.episodes + self.left_out

    def as_json(self) -> list[int]:
        """For `ShardWriter`."""
        return [self.source, self.episodes, self.left_out]


def convert(
    sources: Sequence[Path], options: ImportOptions, out: Path, command: str, name: str = ""
) -> dict[str, Any]:
    """Write all episodes of `sources` to the folder `out`; return its manifest.

    What cannot be used is left out and named in the manifest's `failures`: a part of a recording,
    an episode, one of several sources. A stopped import goes on with the same call.

    Args:
        command: how this was asked for; kept in the manifest.
        name: of the sources' format; empty: it is found by looking at them.

    Raises:
        SdiwmError: a source does not exist or is of no known format, the settings are wrong, the
            sources are unlike each other, or there is no episode.
    """
    if twice := [source for source in sources if sources.count(source) > 1]:
        raise SdiwmError(f"{twice[0]} is named twice; name each source once")
    formats = [find_format(source, name) for source in sources]
    if isinstance(formats[0], BulkFormat) and len(set(formats)) == 1:
        return formats[0].ingest(sources, options, out, command)
    if options.ray:
        raise SdiwmError("--ray is for video, which takes long to decode; leave it away")
    recordings, unreadable = _opened(sources, formats, options)
    spec = _common_spec(recordings)
    provenance = {"command": command, "sources": [str(source) for source in sources]}
    with ShardWriter(out, spec, provenance, resumable=True) as writer:
        if writer.place is None:
            for reason in unreadable:
                writer.record_source("lost", [reason], [], _Place().as_json())
        first = _Place(*(writer.place or ()))
        for number, (path, recording) in enumerate(recordings.items()):
            if number >= first.source:
                begin = first if number == first.source else _Place(number)
                _write_source(writer, path, recording, begin)
        if not writer.episodes:
            raise SdiwmError(f"no episode was found: {'; '.join(writer.failures[:3])}")
    return read_manifest(out)


def _write_source(writer: ShardWriter, path: Path, recording: Recording, begin: _Place) -> None:
    """Write what a recording holds behind the place `begin`, and count what became of it."""
    place = begin
    for found in _until_damage(recording, begin.events):
        if isinstance(found, Episode):
            found = _checked(replace(found, source=found.source or str(path)), writer.spec)
        if isinstance(found, Skipped):
            place = replace(place, left_out=place.left_out + 1)
            writer.record_failure(found.reason, place.as_json())
        else:
            place = replace(place, episodes=place.episodes + 1)
            seed = found.seed if found.seed >= 0 else writer.episodes
            writer.write(replace(found, seed=seed), place.as_json())
    kind = "lost" if not place.episodes else "in part" if place.left_out else "whole"
    writer.record_source(kind, [], recording.notes, _Place(place.source + 1).as_json())


def _opened(
    sources: Sequence[Path], formats: Sequence[Format], options: ImportOptions
) -> tuple[dict[Path, Recording], list[str]]:
    """The recordings, and why others of several cannot be opened."""
    recordings: dict[Path, Recording] = {}
    unreadable: list[str] = []
    for source, each in zip(sources, formats, strict=True):
        try:
            recordings[source] = each.open(source, options)
        except SdiwmError as error:
            if len(sources) == 1:
                raise
            unreadable.append(str(error))
    if not recordings:
        raise SdiwmError(f"no source can be read: {'; '.join(unreadable[:3])}")
    return recordings, unreadable


def _until_damage(recording: Recording, start: int) -> Iterator[Episode | Skipped]:
    """The recording's events from number `start`; the last one is why the rest is unreadable."""
    try:
        yield from recording.episodes(start)
    except SdiwmError as error:
        yield Skipped(str(error))


def _checked(episode: Episode, spec: EpisodeSpec) -> Episode | Skipped:
    """The episode, or why it cannot be used."""
    try:
        episode.check(spec)
    except SdiwmError as error:
        return Skipped(f"{episode.source}, {episode.start:.1f} s: {error}")
    return episode


def _common_spec(recordings: Mapping[Path, Recording]) -> EpisodeSpec:
    """The recordings' shapes and facts; sentences that the facts do not give are those heard."""
    specs = {source: recording.spec() for source, recording in recordings.items()}
    (first, spec), *others = specs.items()
    for source, other in others:
        if other.columns() != spec.columns():
            raise SdiwmError(f"{source} has other shapes than {first}; import it by itself")
        if other.task != spec.task:
            different = _first_difference(spec.task, other.task)
            raise SdiwmError(
                f"{source} has another '{different}' than {first}: say it under `task` in --config"
            )
    goals = spec.task.get("goals", ())
    if not goals:
        return spec
    heard: list[list[str]] = [[] for _ in goals]
    for recording in recordings.values():
        for goal, sentences in recording.sentences.items():
            heard[goal] += [each for each in sentences if each not in heard[goal]]
    return replace(spec, task={"train_instructions": heard, "unrelated": [], **spec.task})


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first fact that is not the same in both."""
    return next(key for key in {**one, **other} if one.get(key) != other.get(key))
