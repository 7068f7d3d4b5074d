"""Bags in the layout of rosbag2 (metadata.yaml and one MCAP file), written without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sdiwm_model.errors import SdiwmError

TYPES = get_typestore(Stores.ROS2_KILTED)
VERSION: Final = 9  # of rosbag2's metadata: Jazzy and later


class BagWriter:
    """One bag. Memory does not grow with it: a chunk of 1 MB is written at a time."""

    def __init__(self, folder: Path) -> None:
        """Make the bag's folder, which must not exist yet.

        Raises:
            SdiwmError: it exists.
        """
        if folder.exists():
            raise SdiwmError(f"{folder} exists; a bag is never written over: name another folder")
        self.folder = folder
        self.messages = 0
        self.bytes = 0
        self._writer = Writer(folder, version=VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Any] = {}

    def add(self, topic: str, kind: str) -> bool:
        """Declare a topic of type `kind`, e.g. std_msgs/msg/String; False: no such type is known"""
        if kind not in TYPES.types:
            return False
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=TYPES)
        return True

    def write(self, topic: str, stamp_ns: int, raw: bytes) -> None:
        """Append a serialised message (CDR), received at `stamp_ns`."""
        self._writer.write(self._connections[topic], stamp_ns, raw)
        self.messages += 1
        self.bytes += len(raw)

    def close(self) -> None:
        """Write the index, without which the bag cannot be read."""
        if self._writer.storage is not None:
            self._writer.close()


def next_bag(folder: Path) -> Path:
    """The first of `bag-000`, `bag-001`, … that does not exist in `folder`."""
    number = 0
    while (path := folder / f"bag-{number:03d}").exists():
        number += 1
    return path
