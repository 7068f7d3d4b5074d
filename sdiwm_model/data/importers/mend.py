"""What a recorder that was killed has left: an MCAP file without an end, copied into a whole bag.

Only what our own recorder writes is read here: chunks without compression. The numbers are those of
the MCAP specification, version 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sdiwm_model.errors import SdiwmError

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x03, 0x04, 0x05, 0x06
HEAD = struct.Struct("<BQ")  # of every record: what it is, and how long
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, time of receipt and of publication


def mend(bag: Path, out: Path) -> int:
    """Copy every message that is whole from the unfinished `bag` to the new bag `out`.

    Args:
        bag: folder with one MCAP file, or that file.

    Returns:
        How many messages there were.

    Raises:
        SdiwmError: there is no such file, nothing in it is whole, or `out` exists.
    """
    files = sorted(bag.glob("*.mcap")) if bag.is_dir() else [bag]
    if len(files) != 1 or not files[0].is_file():
        raise SdiwmError(f"{bag} holds no single .mcap file; name that of the unfinished bag")
    if out.exists():
        raise SdiwmError(f"{out} exists; a bag is never written over: name another folder")
    with files[0].open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise SdiwmError(f"{files[0]} is no MCAP file")
        records = _inside_chunks(stream, files[0])
        first = next(records, None)
        if first is None:
            raise SdiwmError(f"{files[0]}: nothing can be saved, no part of the bag is whole")
        with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            copier = _Copier(writer)
            copier.take(*first)
            for record in records:
                copier.take(*record)
    return copier.messages


def _inside_chunks(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every record in a chunk that is whole."""
    while True:
        head = stream.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        kind, length = HEAD.unpack(head)
        content = stream.read(length)
        if len(content) < length:
            return
        if kind == CHUNK:
            compression, rest = _text(content[28:])
            if compression:
                raise SdiwmError(f"{path} is compressed; `mcap recover` can mend it")
            yield from _records(rest[8:])


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        kind, length = HEAD.unpack_from(data, position)
        position += HEAD.size
        yield kind, data[position : position + length]
        position += length


def _text(data: bytes) -> tuple[str, bytes]:
    """A string and what follows it."""
    (length,) = struct.unpack_from("<I", data)
    return data[4 : 4 + length].decode(), data[4 + length :]


class _Copier:
    """Writes records of an old file into a new bag."""

    def __init__(self, writer: Writer) -> None:
        self.messages = 0
        self._writer = writer
        self._store = get_typestore(Stores.ROS2_KILTED)
        self._types: dict[int, str] = {}
        self._connections: dict[int, Any] = {}

    def take(self, kind: int, content: bytes) -> None:
        if kind == SCHEMA:
            (number,) = struct.unpack_from("<H", content)
            self._types[number] = _text(content[2:])[0]
        elif kind == CHANNEL:
            number, schema = struct.unpack_from("<HH", content)
            if number not in self._connections:
                self._connections[number] = self._writer.add_connection(
                    _text(content[4:])[0], self._types[schema], typestore=self._store
                )
        elif kind == MESSAGE:
            channel, _, received, _ = MESSAGE_HEAD.unpack_from(content)
            self._writer.write(self._connections[channel], received, content[MESSAGE_HEAD.size :])
            self.messages += 1
