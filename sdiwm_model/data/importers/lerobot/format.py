"""Two formats, one a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.data.importers.column_settings import read_column_settings
from sdiwm_model.data.importers.columns import ColumnRecording
from sdiwm_model.data.importers.lerobot.layout import INFO, READ, V3, V21
from sdiwm_model.data.importers.protocols import ExportOptions, ImportOptions
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import read_json_object

if TYPE_CHECKING:
    from sdiwm_model.data.shards import ShardReader


class LeRobotFormat:
    """See `protocols.Format`. What cannot be told to be of another version counts as 3.0."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.description = f"a folder with meta/info.json of version {version}"

    def detects(self, source: Path) -> bool:
        if not (source / INFO).is_file():
            return False
        try:
            found = read_json_object(source / INFO, "").get("codebase_version")
        except SdiwmError:  # damaged: `open` says how
            found = V3
        return READ.get(str(found), V3) == self._version

    def open(self, source: Path, options: ImportOptions) -> ColumnRecording:
        from sdiwm_model.data.importers.lerobot.source import LeRobotSource

        settings = read_column_settings(options.config)
        return ColumnRecording(source, LeRobotSource(source, settings.size), settings)

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        from sdiwm_model.data.importers.lerobot.writer import write_dataset

        return write_dataset(reader, out, options, self._version)


FORMAT_V21 = LeRobotFormat(V21)
FORMAT_V3 = LeRobotFormat(V3)
