"""From recordings to one folder of episode shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.data.importers.protocols import Recording, Skipped
from sdiwm_model.data.importers.registry import find_importer
from sdiwm_model.data.importers.settings import ImportSettings
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.errors import SdiwmError


@dataclass
class Converted:
    """What an import wrote, and the reasons for what it left out."""

    episodes: int = 0
    frames: int = 0
    skipped: list[str] = field(default_factory=list)


def convert(
    sources: Sequence[Path], settings: ImportSettings, out: Path, command: str
) -> Converted:
    """Write all episodes of `sources` to the folder `out`.

    Args:
        command: how this was asked for; kept in the manifest.

    Raises:
        SdiwmError: a recording is missing, damaged or unlike the first, or there is no episode.
    """
    recordings = [find_importer(source).open(source, settings) for source in sources]
    spec = recordings[0].spec()
    for source, recording in zip(sources, recordings, strict=True):
        if recording.spec() != spec:
            raise SdiwmError(f"{source} has other shapes than {sources[0]}; import it by itself")
    done = Converted()
    provenance = {"command": command, "sources": [str(source) for source in sources]}
    with ShardWriter(out, _with_facts(spec, recordings, settings.task), provenance) as writer:
        for recording in recordings:
            for found in recording.episodes():
                if isinstance(found, Skipped):
                    writer.record_failure(found.reason)
                    done.skipped.append(found.reason)
                else:
                    writer.write(replace(found, seed=done.episodes))
                    done.episodes += 1
                    done.frames += len(found)
        if not done.episodes:
            raise SdiwmError(f"no episode was found: {'; '.join(done.skipped[:3])}")
    return done


def _with_facts(
    spec: EpisodeSpec, recordings: Sequence[Recording], task: Mapping[str, Any]
) -> EpisodeSpec:
    """The spec with the task's facts; sentences that the settings do not give are those heard."""
    heard: list[list[str]] = [[] for _ in task["goals"]]
    for recording in recordings:
        for goal, sentences in recording.sentences.items():
            heard[goal] += [each for each in sentences if each not in heard[goal]]
    return replace(spec, task={"train_instructions": heard, "unrelated": [], **task})
