"""From folders of episode shards to another program's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdiwm_model.data.importers.protocols import ExportOptions
from sdiwm_model.data.importers.registry import format_named
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError


def export(
    folders: Sequence[Path], name: str, out: Path, options: ExportOptions
) -> tuple[int, list[str]]:
    """Write the episodes of `folders` to `out` in the format `name`.

    Returns:
        How many episodes, and what the format could not represent.

    Raises:
        SdiwmError: there is no such format, `out` exists, a folder is damaged, or its episodes
            cannot be written in this format.
    """
    chosen = format_named(name)
    if out.exists():
        raise SdiwmError(f"{out} exists; an export is never written over: name another path")
    reader = ShardReader(list(folders))
    if not len(reader):
        raise SdiwmError(f"{folders[0]} holds no episode; there is nothing to export")
    out.parent.mkdir(parents=True, exist_ok=True)
    return len(reader), chosen.write(reader, out, options)
