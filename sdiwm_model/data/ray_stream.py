"""Clips read by the workers of a Ray cluster, on whatever nodes they run, in the same global order.

Each rank asks Ray Data for its own batches by number. A worker knows the order from the seed, reads
the clips of one batch where the shards are mounted, and the object store carries the batch to the
rank. What waits there is bounded; a slow rank makes the workers pause.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.data.ray_session import OBJECT_STORE_BYTES, ensure_ray
from sdiwm_model.data.stream import ClipBatch
from sdiwm_model.data.stream_local import Rank
from sdiwm_model.data.stream_order import GlobalOrder
from sdiwm_model.data.stream_reader import ClipReader
from sdiwm_model.errors import SdiwmError

STORE_SHARE = 0.3  # of the object store, for what a segment reads ahead; two overlap for a moment
SEGMENT = 1024  # batches of one Ray data set: to plan them takes Ray a second
LEAD = 64  # batches before its end when the next one starts
COLUMN = "column."
ERROR = "error"


class RayClipLoader:
    """A `ClipLoader` whose clips are read by Ray's workers.

    Args:
        folders: must be mounted under the same path on every node.
        frames, batch: T and B of a batch.
        object_store_bytes: of the local Ray that starts where there is none; at most 30 % of it
            waits for us.

    Raises:
        SdiwmError: Ray is missing, a folder is missing or damaged, it holds no clip of that length,
            or the object store has no room for a batch.
    """

    def __init__(
        self,
        folders: Path | str | Sequence[Path | str],
        frames: int,
        batch: int,
        seed: int = 0,
        rank: Rank = Rank(),  # noqa: B008 - frozen
        object_store_bytes: int = OBJECT_STORE_BYTES,
    ) -> None:
        if batch < 1:
            raise SdiwmError(f"a batch of {batch} clips makes no sense; ask for 1 or more")
        self._reader = ClipReader(folders, frames)
        self.spec = self._reader.spec
        self.clips = self._reader.clips
        self.short = self._reader.short
        self.batch = batch
        self.rank = rank
        self._order = GlobalOrder(self.clips, seed, self._reader.fingerprint)
        self._bytes = batch * self._reader.clip_bytes
        self._ahead_bytes = int(STORE_SHARE * object_store_bytes)
        if 2 * self._bytes > self._ahead_bytes:
            raise SdiwmError(
                f"a batch has {self._bytes / 1e6:.0f} MB, seven of them must fit into Ray's object "
                f"store of {object_store_bytes / 1e6:.0f} MB; ask for smaller batches or more store"
            )
        self._ray = ensure_ray(object_store_bytes)
        self._shared_reader = self._ray.put(self._reader)
        self._running: Iterator[ClipBatch] | None = None

    def state_dict(self) -> dict[str, Any]:
        """See `ClipLoader`."""
        return self._order.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `ClipLoader`."""
        self.close()
        self._order.load_state_dict(state)

    def close(self) -> None:
        """See `ClipLoader`."""
        if self._running is not None:
            self._running.close()  # type: ignore[attr-defined]
            self._running = None

    def __iter__(self) -> Iterator[ClipBatch]:
        """See `ClipLoader`."""
        self.close()
        self._running = self._batches()
        return self._running

    def _batches(self) -> Iterator[ClipBatch]:
        step = self.batch * self.rank.world
        rows = self._rows(self._order.position + self.rank.index * self.batch, step)
        try:
            for row in rows:
                batch = _batch_of(row)
                self._order.position += step
                yield batch
        except self._ray.exceptions.RayError as error:
            raise SdiwmError(f"reading through Ray failed: {error}") from error
        finally:
            rows.close()

    def _rows(self, begin: int, step: int) -> Generator[Mapping[str, Any], None, None]:
        """Segment after segment; each starts while the last batches of the one before it wait."""
        with ThreadPoolExecutor(1) as pool:
            rows = self._segment(begin, step)
            while True:
                begin += SEGMENT * step
                upcoming: Future[Iterator[Mapping[str, Any]]] | None = None
                for number, row in enumerate(rows):
                    if number == SEGMENT - LEAD:
                        upcoming = pool.submit(_started, self._segment(begin, step))
                    yield row
                assert upcoming is not None
                rows = upcoming.result()

    def _segment(self, begin: int, step: int) -> Iterator[Mapping[str, Any]]:
        """The next SEGMENT batches, a row each, while the one after comes to this node.

        Not by `iter_batches`: threads of it go on calling Ray when its iterator is closed, and a
        call while Ray shuts down ends the process at once, with exit code 1 and not a word.
        """
        order = (self.clips, self._order.seed, self._order.data)
        data = self._ray.data.range(SEGMENT, override_num_blocks=SEGMENT).map_batches(
            _read,
            batch_size=1,
            fn_args=(self._shared_reader, order, begin, step, self.batch),
        )
        options = data.context.execution_options
        options.preserve_order = True
        options.resource_limits = options.resource_limits.copy(
            object_store_memory=self._ahead_bytes - self._bytes  # the one that comes
        )
        bundles = data.iter_internal_ref_bundles()
        blocks = chain.from_iterable(bundle.block_refs for bundle in bundles)
        for block, coming in pairwise(chain(blocks, [None])):
            if coming is not None:
                self._ray.wait([coming], timeout=0)
            columns = self._ray.data.block.BlockAccessor.for_block(self._ray.get(block)).to_numpy()
            for number in range(len(columns[ERROR])):
                yield {name: column[number] for name, column in columns.items()}


def _started(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return chain([next(rows)], rows)  # Ray begins to work when the first row is asked for


def _read(
    row: Mapping[str, Any],
    reader: Any,
    order: tuple[int, int, str],
    begin: int,
    step: int,
    size: int,
) -> dict[str, Any]:
    """Runs in a worker: batch number ``row['id']`` as one row."""
    reader = _fetched(reader)
    epochs, clips = _order(*order).at(begin + int(row["id"][0]) * step, size)
    batch = reader.empty(size)
    error = ""
    try:
        for place, (epoch, clip) in enumerate(zip(epochs, clips, strict=True)):
            reader.read_into(batch, place, int(clip), order[1], int(epoch))
    except SdiwmError as said:  # raised, it would arrive as a page of Ray's own
        error = str(said)
    columns = {COLUMN + name: column[None] for name, column in batch.columns.items()}
    return {
        "frames": batch.frames[None],
        "clip": batch.clip[None],
        "first": batch.first[None],
        ERROR: np.array([error]),
        **columns,
    }


@lru_cache(maxsize=2)
def _order(clips: int, seed: int, data: str) -> GlobalOrder:
    return GlobalOrder(clips, seed, data)


@lru_cache(maxsize=2)
def _fetched(reference: Any) -> ClipReader:
    """The reader, once a worker: it remembers where the clips of each shard lie."""
    import ray

    reader: ClipReader = ray.get(reference)
    return reader


def _batch_of(row: Mapping[str, Any]) -> ClipBatch:
    if row[ERROR]:
        raise SdiwmError(str(row[ERROR]))
    own = {name: np.array(value) for name, value in row.items()}  # frees the object store
    return ClipBatch(
        frames=own["frames"],
        columns={n.removeprefix(COLUMN): own[n] for n in own if n.startswith(COLUMN)},
        clip=own["clip"],
        first=own["first"],
    )
