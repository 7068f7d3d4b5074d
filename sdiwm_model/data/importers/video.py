"""Video folders and files as a format of `sdiwm data import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.data.importers.protocols import ExportOptions, ImportOptions, Recording
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.data.shards import ShardReader


class VideoFormat:
    """A `BulkFormat`: files are decoded beside each other, by threads or a Ray cluster."""

    description = "a video, or a folder of videos, with Kinetics' lists (CSV) where there are any"

    def detects(self, source: Path) -> bool:
        """Whether there is video, and not as a part of a data set that describes itself."""
        from sdiwm_model.data.importers.video_sources import has_videos, kinetics_lists

        if (source / "meta" / "info.json").exists():
            return False
        return has_videos(source) or (source.is_dir() and bool(kinetics_lists(source)))

    def ingest(
        self, sources: Sequence[Path], options: ImportOptions, out: Path, command: str
    ) -> dict[str, Any]:
        """See `BulkFormat`."""
        from sdiwm_model.data.importers.video_ingest import ingest
        from sdiwm_model.data.importers.video_settings import read_video_settings

        decoder = None
        if options.ray:
            from sdiwm_model.data.importers.video_ray import decode_on_ray

            decoder = decode_on_ray
        return ingest(sources, read_video_settings(options.config), out, command, decoder)

    def open(self, source: Path, options: ImportOptions) -> Recording:
        """Refuse: whoever wants videos beside recordings of another format asks for this."""
        raise SdiwmError(f"{source} is video and makes a folder of its own: import it by itself")

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        """Refuse."""
        raise SdiwmError("episodes are not written as video alone; export them as lerobot-v3")


FORMAT = VideoFormat()
