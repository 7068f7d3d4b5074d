"""Which importer reads a recording."""

from __future__ import annotations

from pathlib import Path

from sdiwm_model.data.importers.protocols import Importer
from sdiwm_model.data.importers.rosbag import RosbagImporter
from sdiwm_model.errors import SdiwmError

IMPORTERS: tuple[Importer, ...] = (RosbagImporter(),)


def find_importer(source: Path) -> Importer:
    """The first importer that recognises `source`.

    Raises:
        SdiwmError: it does not exist, or no importer knows it.
    """
    if not source.exists():
        raise SdiwmError(f"{source} does not exist; name a recording")
    for importer in IMPORTERS:
        if importer.detects(source):
            return importer
    known = ", ".join(importer.name for importer in IMPORTERS)
    raise SdiwmError(f"{source} is no recording that can be imported; there are: {known}")
