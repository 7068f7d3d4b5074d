"""One shard: a Parquet file that numpy reads at the disk's speed, an episode a row group.

Arrays are raw little-endian bytes in `large_binary` columns without compression or dictionary,
because Parquet stores a uint8 tensor as INT32 (four times the disk, a hundred times slower). Each
column of an episode is one page with a CRC-32 of its own, so that a flipped byte is traced to its
episode. The schema's metadata carries dtype and shape of each column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.frame_codec import decode_jpeg, encode_jpeg
from sdiwm_model.data.manifest import REMEDY
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import sha256_of_file

PLAIN = {
    "instruction": pa.string(),
    "goal": pa.int32(),
    "behaviour": pa.string(),
    "seed": pa.int64(),
    "length": pa.int32(),
    "source": pa.string(),
    "start": pa.float64(),
}


def row_of(episode: Episode, spec: EpisodeSpec) -> pa.Table:
    """Return the row group of an episode; raw arrays are not copied."""
    row: dict[str, pa.Array] = {}
    for name in spec.columns():
        array = getattr(episode, name)
        if name == "frames" and spec.encoding == "jpeg":
            row[name] = one_value(pa.py_buffer(encode_jpeg(array)))
        else:
            row[name] = one_value(pa.py_buffer(np.ascontiguousarray(array)))
    for name, kind in PLAIN.items():
        value = len(episode) if name == "length" else getattr(episode, name)
        row[name] = pa.array([value], kind)
    return pa.table(row, schema=schema(spec))


def one_value(data: pa.Buffer) -> pa.Array:
    """Return a large_binary column of one value, which is not copied."""
    offsets = pa.py_buffer(np.array([0, data.size], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def episode_of(row: dict[str, Any], spec: EpisodeSpec) -> Episode:
    """Return the episode of a row {column: value}; its arrays are its own.

    Raises:
        SdiwmError, ValueError, KeyError, TypeError: the row is not what `spec` says.
    """
    length = row["length"]
    arrays: dict[str, Any] = {}
    for name, (dtype, shape) in spec.columns().items():
        if name == "frames" and spec.encoding == "jpeg":
            arrays[name] = decode_jpeg(row[name], length)
        else:
            arrays[name] = np.frombuffer(row[name], dtype).reshape(length, *shape).copy()
    plain = {name: row[name] for name in PLAIN if name in row and name != "length"}
    return Episode(**arrays, **plain)


def schema(spec: EpisodeSpec) -> pa.Schema:
    """Return the schema of the shards of such episodes."""
    described: dict[str, dict[str, Any]] = {
        name: {"dtype": dtype, "shape": list(shape)}
        for name, (dtype, shape) in spec.columns().items()
    }
    described["frames"]["encoding"] = spec.encoding
    return pa.schema(
        [
            *(pa.field(name, pa.large_binary(), nullable=False) for name in spec.columns()),
            *(pa.field(name, kind, nullable=False) for name, kind in PLAIN.items()),
        ],
        metadata={"sdiwm.columns": json.dumps(described)},
    )


class ShardFile:
    """A shard while it is written, under a temporary name; its SHA-256 is taken on the way.

    bytes: of the row groups so far; lengths: of the episodes so far.
    """

    def __init__(self, path: Path, spec: EpisodeSpec) -> None:
        self.path = path
        self.lengths: list[int] = []
        self.bytes = 0
        self._temporary = path.with_name(f".{path.stem}.part{path.suffix}")
        self._file = _HashedFile(self._temporary)
        with self._failures_named():
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._file, mode="w"),
                schema(spec),
                compression="NONE",
                use_dictionary=False,
                write_statistics=False,
                store_schema=True,
                write_page_checksum=True,
            )

    def write(self, row: pa.Table) -> None:
        """Append a row group; SdiwmError where the disk is full."""
        with self._failures_named():
            self._writer.write_table(row)
        self.lengths.append(row["length"][0].as_py())
        self.bytes += row.nbytes

    def finish(self) -> dict[str, Any]:
        """Move the file into its place; return its entry in the manifest."""
        with self._failures_named():
            self._writer.close()
            self._file.close()
            self._temporary.replace(self.path)
        return {
            "file": self.path.name,
            "sha256": self._file.digest.hexdigest(),
            "bytes": self._file.size,
            "lengths": self.lengths,
        }

    def discard(self) -> None:
        """Remove what was written."""
        self._file.discard()
        self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.discard()
            raise SdiwmError(
                f"shard {self.path} cannot be written ({error.strerror or error}); make room on "
                "that disk and give the same command again"
            ) from None


class _HashedFile:
    """What pyarrow writes into: a file and its SHA-256."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb", buffering=0)
        self.digest = hashlib.sha256()
        self.size = 0
        self._discarded = False

    def write(self, data: bytes) -> int:
        if self._discarded:  # pyarrow still writes a footer when it lets go
            return len(data)
        view = memoryview(data)
        while len(view):  # near the end of the disk a write takes a part only
            view = view[self._stream.write(view) :]
        self.digest.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        pass

    def discard(self) -> None:
        self._discarded = True
        self._stream.close()

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return not self._discarded and self._stream.closed


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever reading the shard ``path`` raises into an SdiwmError that names it."""
    try:
        yield
    except SdiwmError as error:
        if str(path) in str(error):
            raise
        raise SdiwmError(f"shard {path}: {error}; {REMEDY}") from None
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError) as error:
        raise SdiwmError(f"shard {path} cannot be read ({error}); {REMEDY}") from None


def check_digest(path: Path, digest: str) -> None:
    """SdiwmError unless the shard is there and every byte is as written."""
    if not path.is_file():
        raise SdiwmError(f"shard {path} is missing; {REMEDY}")
    if sha256_of_file(path) != digest:
        raise SdiwmError(f"shard {path} is damaged (its SHA-256 differs); {REMEDY}")
