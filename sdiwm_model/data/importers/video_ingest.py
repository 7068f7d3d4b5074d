"""Folders of video into shards: files decoded beside each other, clips written in order.

Whoever decodes, threads of this process or workers of a Ray cluster, the same events come in the
same order, so the shards have the same bytes. An event is a clip or, last of each file, what became
of it; its place is (number of the file, number of the event in it), and an import that was
stopped goes on behind the last place that is on disk.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty, Queue
from threading import Event
from typing import Any, Protocol

from tqdm import tqdm

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.importers.video_decode import Outcome, VideoSource, clips_of
from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.data.importers.video_sources import find_sources
from sdiwm_model.data.shards import BYTES_PER_SHARD, ShardWriter, read_manifest
from sdiwm_model.errors import SdiwmError

Source = VideoSource | Outcome
Found = Episode | Outcome
EPISODES_PER_SHARD = 1_000_000  # video is bounded by bytes alone
AHEAD = 3  # events of one file that wait for the writer


class Decoder(Protocol):
    """Who decodes."""

    def __call__(
        self, sources: Sequence[Source], settings: VideoSettings
    ) -> Iterator[tuple[int, Found]]:
        """Yield (number of the source, its next event) in order; each source ends in an Outcome."""
        ...


def ingest(
    roots: Sequence[Path],
    settings: VideoSettings,
    out: Path,
    command: str,
    decoder: Decoder | None = None,
    bytes_per_shard: int = BYTES_PER_SHARD,
) -> dict[str, Any]:
    """Write all videos below ``roots`` to the folder ``out``; return its manifest.

    Args:
        command: how this was asked for; kept in the manifest.
        decoder: threads of this process, one a core, unless given.

    Raises:
        SdiwmError: there is no video, none gave a clip, ``out`` is taken, or the disk is full. What
            is finished by then stays, and the same call goes on from there.
    """
    sources = [source for root in roots for source in find_sources(root, settings)]
    provenance = {
        "command": command,
        "sources": [str(root) for root in roots],
        "files": _fingerprint(sources),
        "settings": asdict(settings),
    }
    decode = decoder or ThreadDecoder(len(os.sched_getaffinity(0)))
    with (
        ShardWriter(
            out, settings.spec(), provenance, EPISODES_PER_SHARD, bytes_per_shard, resumable=True
        ) as writer,
        tqdm(total=len(sources), unit="video", disable=None) as bar,
    ):
        first, last_event = writer.place or (0, -1)
        bar.update(first)
        event = 0
        with closing(decode(sources[first:], settings)) as events:  # type: ignore[type-var]
            for offset, found in events:
                place = (first + offset, event)
                done = isinstance(found, Outcome)
                event = 0 if done else event + 1
                if done:
                    bar.update()
                if place > (first, last_event):
                    _write(writer, found, place)
        if not writer.episodes:
            raise SdiwmError(f"no video gave a clip: {'; '.join(writer.failures[:3])}")
    return read_manifest(out)


def _write(writer: ShardWriter, found: Found, place: tuple[int, int]) -> None:
    if isinstance(found, Episode):
        writer.write(replace(found, seed=writer.episodes), place)
        return
    kept = f"; clips kept: {found.clips}" if found.clips else ""
    failures = [f"{found.name}: {'; '.join(found.reasons)}{kept}"] if found.reasons else []
    writer.record_source(found.kind, failures, [f"{found.name}: {n}" for n in found.notes], place)


def _fingerprint(sources: Sequence[Source]) -> str:
    """What tells that an import goes on with the files that it began with."""
    digest = hashlib.sha256()
    for source in sources:
        known = (
            [source.name, *source.reasons]
            if isinstance(source, Outcome)
            else [source.name, source.label, str(_size(source.path))]
        )
        digest.update(repr(known).encode())
    return digest.hexdigest()


def _size(path: Path) -> int:
    """Bytes of a file, -1 where it cannot be reached: decoding it will say why."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


class ThreadDecoder:
    """Decodes in threads of this process, a file each; FFmpeg works without Python's lock.

    At most AHEAD clips of each of a few files wait, whatever the number and length of the files.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __call__(
        self, sources: Sequence[Source], settings: VideoSettings
    ) -> Iterator[tuple[int, Found]]:
        """See `Decoder`."""
        stop = Event()
        ahead: deque[tuple[Queue[Found | BaseException], Future[None]]] = deque()
        upcoming = iter(sources)
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                for number in range(len(sources)):
                    while len(ahead) < 2 * self._threads:
                        source = next(upcoming, None)
                        if source is None:
                            break
                        queue: Queue[Found | BaseException] = Queue(AHEAD)
                        ahead.append((queue, pool.submit(_fill, queue, source, settings, stop)))
                    for found in _emptied(ahead[0][0]):
                        yield number, found
                    ahead.popleft()
            finally:
                stop.set()
                for queue, future in ahead:
                    future.cancel()
                    _discard(queue)


def _fill(
    queue: Queue[Found | BaseException], source: Source, settings: VideoSettings, stop: Event
) -> None:
    try:
        for found in events_of(source, settings):
            queue.put(found)
            if stop.is_set():
                return
    except BaseException as error:  # raised again by whoever empties the queue
        queue.put(error)


def events_of(source: Source, settings: VideoSettings) -> Iterator[Found]:
    """Yield the clips of one source and last its outcome."""
    if isinstance(source, Outcome):
        yield source
    else:
        yield from clips_of(source, settings)


def _emptied(queue: Queue[Found | BaseException]) -> Iterator[Found]:
    while True:
        found = queue.get()
        if isinstance(found, BaseException):
            raise found
        yield found
        if isinstance(found, Outcome):
            return


def _discard(queue: Queue[Any]) -> None:
    """Make room, so that whoever waits to fill the queue wakes and sees that it has to stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return
