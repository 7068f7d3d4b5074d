"""The manifest of a folder of episodes: what is in it, where from, and what was left out.

It carries a checksum of its own and the SHA-256 of every shard, so that one flipped byte anywhere
in the folder is found.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import json_text, read_json_object, write_json

FORMAT_VERSION = 2  # 2: episodes know their source, frames may be JPEG
READ_VERSIONS = (1, FORMAT_VERSION)
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
REMEDY = "collect or import the data again, or copy the folder again from its source"


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Return a folder's manifest; SdiwmError if it is missing, damaged or of another version."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise SdiwmError(
            f"data folder {folder} does not exist; write one with `sdiwm collect` or "
            "`sdiwm data import`"
        )
    if not path.exists() and (folder / JOURNAL).exists():
        raise SdiwmError(
            f"{folder} holds an import that was stopped before its end; give the same "
            "`sdiwm data import` again, it goes on from there"
        )
    manifest = read_json_object(path, REMEDY)
    as_written = json_text(with_checksum(manifest))
    if path.read_text(encoding="utf-8") != as_written:
        raise SdiwmError(
            f"{path} is damaged or was edited (its checksum or layout differs); {REMEDY}"
        )
    version = manifest.get("format_version")
    if version not in READ_VERSIONS:
        raise SdiwmError(
            f"{path} has format_version {version!r}, this program reads "
            f"{', '.join(map(str, READ_VERSIONS))}; install the sdiwm that wrote it or make the "
            "data again"
        )
    return manifest


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest with its checksum, atomically; the folder is valid from then on."""
    write_json(folder / MANIFEST, with_checksum({"format_version": FORMAT_VERSION, **content}))


def spec_of(manifest: Mapping[str, Any]) -> EpisodeSpec:
    """Return the shapes and the task of a folder's episodes."""
    values = dict(manifest["spec"], task=manifest["task"])
    values["image"] = tuple(values["image"])
    return EpisodeSpec(**values)


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``content`` with the SHA-256 of its canonical JSON under the key checksum."""
    body = {key: value for key, value in content.items() if key != "checksum"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return {**body, "checksum": hashlib.sha256(canonical).hexdigest()}
