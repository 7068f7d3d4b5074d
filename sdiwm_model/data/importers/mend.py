"""What a recorder that was killed has left: an MCAP file without an end, made whole again."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from typing import BinaryIO

from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from sdiwm_model.errors import SdiwmError

MAGIC = b"\x89MCAP0\r\n"
DATA_END, FOOTER = 0x0F, 0x02
# Of the MCAP specification, version 0: the end of the data without a checksum, and a footer that
# says that there is no index; a reader then looks through the file.
ENDING = struct.pack("<BQI", DATA_END, 4, 0) + struct.pack("<BQQQI", FOOTER, 20, 0, 0, 0) + MAGIC


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
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as scratch:
        copy = Path(scratch) / "copy.mcap"
        shutil.copyfile(files[0], copy)
        with copy.open("r+b") as stream:
            stream.truncate(_whole(stream, files[0]))
            stream.seek(0, 2)
            stream.write(ENDING)
        return _copy(copy, out)


def _whole(stream: BinaryIO, path: Path) -> int:
    """Where the last whole record of the data ends, in bytes."""
    size = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise SdiwmError(f"{path} is no MCAP file")
    end = len(MAGIC)
    while True:
        stream.seek(end)
        head = stream.read(9)
        if len(head) < 9:
            return end
        kind, length = struct.unpack("<BQ", head)
        if kind in (DATA_END, FOOTER) or end + 9 + length > size:
            return end
        end += 9 + length


def _copy(source: Path, out: Path) -> int:
    count = 0
    with AnyReader([source]) as reader:
        if not reader.connections:
            raise SdiwmError(f"{out}: nothing can be saved, no part of the bag is whole")
        with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            copies = {
                each.id: writer.add_connection(
                    each.topic,
                    each.msgtype,
                    msgdef=each.msgdef.data,
                    rihs01=reader.typestore.hash_rihs01(each.msgtype),
                )
                for each in reader.connections
            }
            for connection, stamp, raw in reader.messages():
                writer.write(copies[connection.id], stamp, raw)
                count += 1
    return count
