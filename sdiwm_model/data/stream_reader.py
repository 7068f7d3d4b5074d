"""Where every clip of a data set lies, and reading one straight into its place in a batch.

Columns are stored raw (see `shard_file`), so a clip's frames are one range of one file: `preadv`
puts them where they belong without a copy in between, without Python's lock, and without the frames
of the episode that were not asked for. JPEG frames are decoded by the thread that reads them.

Sizes and places are checked on the way, bytes are not, for that would read each shard as a whole
before its first clip: `sdiwm data verify` does it, once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sdiwm_model.data.frame_codec import decode_jpeg
from sdiwm_model.data.manifest import REMEDY
from sdiwm_model.data.shard_file import damage_named
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.data.stream import ClipBatch
from sdiwm_model.data.stream_order import random_words
from sdiwm_model.errors import SdiwmError

PHASES = 1  # purpose of the random words that shift clips within an episode
LENGTH_PREFIX = 4  # bytes before a plainly encoded binary value


class ClipReader:
    """Clips of ``frames`` steps: each episode is cut into as many as it holds.

    What is left over of an episode moves in front of its first clip by another amount each epoch,
    so that in time every step is seen. Threads may share a reader; it can be pickled.

    Attributes:
        spec: shapes of one time step; clips: how many; short: episodes below ``frames`` steps,
        which hold no clip.
    """

    def __init__(self, folders: Path | str | Sequence[Path | str], frames: int) -> None:
        if frames < 1:
            raise SdiwmError(f"a clip of {frames} frames makes no sense; ask for 1 or more")
        data = ShardReader(folders)
        paths = [folders] if isinstance(folders, (str, Path)) else folders
        self.frames = frames
        self.spec = data.spec
        self._shards: list[tuple[str, int]] = []  # path, bytes
        shard_of: list[int] = []
        row_of: list[int] = []
        for folder, manifest in zip(map(Path, paths), data.manifests, strict=True):
            for shard in manifest["shards"]:
                rows = len(shard["lengths"])
                shard_of += [len(self._shards)] * rows
                row_of += range(rows)
                self._shards.append((str(folder / shard["file"]), int(shard["bytes"])))
        self._shard_of = np.array(shard_of, np.int32)
        self._row_of = np.array(row_of, np.int32)
        self._lengths = np.array(data.lengths, np.int64)
        holds = self._lengths // frames
        self._begins = np.cumsum(holds) - holds  # first clip of each episode
        self._slack = self._lengths - holds * frames
        self.clips = int(holds.sum())
        self.short = int((holds == 0).sum())
        if self.clips == 0:
            raise SdiwmError(
                f"no episode of {', '.join(map(str, paths))} has {frames} frames, so there is no "
                "clip; ask for shorter ones"
            )
        self.fingerprint = _fingerprint(data.manifests, frames)
        self._offsets: dict[int, _Offsets] = {}
        self._columns = [name for name in self._widths() if self._widths()[name]]

    def _widths(self) -> dict[str, int]:
        return {
            name: shape[0] for name, (_, shape) in self.spec.columns().items() if len(shape) == 1
        }

    def empty(self, batch: int) -> ClipBatch:
        """A batch to read into; what it holds is not set."""
        shape = (batch, self.frames)
        widths = self._widths()
        return ClipBatch(
            frames=np.empty((*shape, *self.spec.image), np.uint8),
            columns={name: np.empty((*shape, widths[name]), np.float32) for name in self._columns},
            clip=np.empty(batch, np.int64),
            first=np.empty(batch, np.int64),
        )

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip in memory."""
        widths = self._widths()
        step = int(np.prod(self.spec.image)) + 4 * sum(widths[name] for name in self._columns)
        return self.frames * step

    def read_into(self, batch: ClipBatch, place: int, clip: int, seed: int, epoch: int) -> None:
        """Read ``clip`` as (seed, epoch) shifts it into row ``place`` of ``batch``.

        Raises:
            SdiwmError: the shard is missing, cut short or not what its manifest says.
        """
        episode = int(np.searchsorted(self._begins, clip, side="right")) - 1
        word = int(_phases(seed, epoch, len(self._slack))[episode])
        shift = word % (int(self._slack[episode]) + 1)
        first = shift + (clip - int(self._begins[episode])) * self.frames
        shard = int(self._shard_of[episode])
        path, size = self._shards[shard]
        wanted: dict[str, NDArray[Any]] = {n: c[place] for n, c in batch.columns.items()}
        if self.spec.encoding == "raw":
            wanted["frames"] = batch.frames[place]
        table = self._offsets.get(shard)
        if table is None:  # two threads may both parse a footer; they find the same
            table = self._offsets[shard] = _Offsets(path, size)
        row, length = int(self._row_of[episode]), int(self._lengths[episode])
        if self.spec.encoding == "jpeg":
            batch.frames[place] = table.jpeg(row, length, first, self.frames)
        with damage_named(Path(path)), _opened(path) as descriptor:
            for name, target in wanted.items():
                offset = table.begin(name, row, length * target[0].nbytes)
                _read_exactly(descriptor, target, offset + first * target[0].nbytes, path)
        batch.clip[place] = clip
        batch.first[place] = first


class _Offsets:
    """Where each value of each column begins in one shard, from the file's own footer."""

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        try:
            found = Path(path).stat().st_size
            if found != size:
                raise SdiwmError(f"shard {path} has {found} bytes, not {size}; {REMEDY}")
            footer = pq.read_metadata(path)
        except FileNotFoundError:
            raise SdiwmError(f"shard {path} is missing; {REMEDY}") from None
        except (pa.ArrowException, OSError) as error:
            raise SdiwmError(f"shard {path} cannot be read ({error}); {REMEDY}") from None
        self._ends: dict[str, NDArray[np.int64]] = {}
        self._spans: dict[str, NDArray[np.int64]] = {}
        for index, name in enumerate(footer.schema.names):
            chunks = [footer.row_group(row).column(index) for row in range(footer.num_row_groups)]
            if any(chunk.physical_type != "BYTE_ARRAY" for chunk in chunks):
                continue
            if any(chunk.compression != "UNCOMPRESSED" for chunk in chunks):
                raise SdiwmError(f"shard {path} is compressed, clips are read raw; {REMEDY}")
            spans = np.array([chunk.total_compressed_size for chunk in chunks], np.int64)
            begins = np.array([chunk.data_page_offset for chunk in chunks], np.int64)
            self._spans[name], self._ends[name] = spans, begins + spans
        self._footer = footer

    def jpeg(self, row: int, length: int, first: int, frames: int) -> NDArray[np.uint8]:
        """Decode ``frames`` pictures of an episode of ``length``, from ``first`` on."""
        with (
            damage_named(Path(self._path)),
            pq.ParquetFile(
                self._path, metadata=self._footer, page_checksum_verification=True
            ) as file,
        ):
            column = file.read_row_group(row, ["frames"], use_threads=False).column(0)
            return decode_jpeg(memoryview(column[0].as_buffer()), length, first, first + frames)

    def begin(self, name: str, row: int, size: int) -> int:
        """Offset of the ``size`` bytes of a value: they end where the column's only page ends."""
        try:
            span, end = self._spans[name][row], self._ends[name][row]
        except (KeyError, IndexError):
            raise SdiwmError(f"shard {self._path} lacks column '{name}'; {REMEDY}") from None
        if span < size + LENGTH_PREFIX:
            raise SdiwmError(
                f"shard {self._path}, episode {row}: column '{name}' is shorter than its manifest "
                f"says; {REMEDY}"
            )
        return int(end) - size


@lru_cache(maxsize=4)
def _phases(seed: int, epoch: int, episodes: int) -> NDArray[np.uint64]:
    return random_words(seed, epoch, PHASES, episodes)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_exactly(descriptor: int, target: NDArray[Any], offset: int, path: str) -> None:
    view = memoryview(target.data).cast("B")
    while len(view):
        count = os.preadv(descriptor, [view], offset)
        if count == 0:
            raise SdiwmError(f"shard {path} ends before its last clip; {REMEDY}")
        view, offset = view[count:], offset + count


def _fingerprint(manifests: Sequence[Mapping[str, Any]], frames: int) -> str:
    digest = hashlib.sha256(f"{frames}".encode())
    for manifest in manifests:
        digest.update(str(manifest["checksum"]).encode())
    return digest.hexdigest()[:16]
