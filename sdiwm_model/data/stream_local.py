"""Clips of one machine's disk: threads read ahead, within a bound in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdiwm_model.data.stream import ClipBatch
from sdiwm_model.data.stream_order import GlobalOrder
from sdiwm_model.data.stream_reader import ClipReader
from sdiwm_model.errors import SdiwmError

AHEAD_BYTES = 512_000_000
AHEAD_BATCHES = 16  # more of them smooth nothing, and small ones would fill AHEAD_BYTES for long


@dataclass(frozen=True)
class Rank:
    """Which share of each step is ours: the ``index``-th of ``world``."""

    index: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.world:
            raise SdiwmError(f"rank {self.index} of {self.world} does not exist")


class LocalClipLoader:
    """A `ClipLoader` of threads.

    Args:
        folders: what `sdiwm data import` or `sdiwm collect` wrote, read one after another.
        frames, batch: T and B of a batch.
        threads: how many read at once; more than cores, for those that wait for the disk use none.
        ahead_bytes: bound on what is read ahead: at least one batch is, at most AHEAD_BATCHES.

    Raises:
        SdiwmError: a folder is missing or damaged, or holds no clip of that length.
    """

    def __init__(
        self,
        folders: Path | str | Sequence[Path | str],
        frames: int,
        batch: int,
        seed: int = 0,
        rank: Rank = Rank(),  # noqa: B008 - frozen
        threads: int = 4,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> None:
        if batch < 1:
            raise SdiwmError(f"a batch of {batch} clips makes no sense; ask for 1 or more")
        self._reader = ClipReader(folders, frames)
        self.spec = self._reader.spec
        self.clips = self._reader.clips
        self.short = self._reader.short
        self.batch = batch
        self.rank = rank
        self._threads = threads
        fitting = ahead_bytes // (batch * self._reader.clip_bytes)
        self._depth = min(max(1, fitting), AHEAD_BATCHES)
        self._order = GlobalOrder(self.clips, seed, self._reader.fingerprint)
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
        next_read = self._order.position
        ahead: deque[tuple[ClipBatch, list[Future[None]]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="clips")
        try:
            while True:
                while len(ahead) <= self._depth:
                    ahead.append(self._begin(pool, next_read + self.rank.index * self.batch))
                    next_read += step
                batch, parts = ahead.popleft()
                for part in parts:
                    part.result()
                self._order.position += step
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _begin(
        self, pool: ThreadPoolExecutor, position: int
    ) -> tuple[ClipBatch, list[Future[None]]]:
        epochs, clips = self._order.at(position, self.batch)
        batch = self._reader.empty(self.batch)
        return batch, [
            pool.submit(
                self._reader.read_into, batch, place, int(clip), self._order.seed, int(epoch)
            )
            for place, (epoch, clip) in enumerate(zip(epochs, clips, strict=True))
        ]
