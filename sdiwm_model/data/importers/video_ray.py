"""Video decoded by the workers of a Ray cluster; the driver alone writes, in order.

Memory is bounded: decoded clips fill at most half of the object store of a local Ray, and decoding
waits for the writer. The same code decodes as without Ray, so the shards have the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sdiwm_model.data.importers.video_decode import Outcome, VideoSource, clip_of
from sdiwm_model.data.importers.video_ingest import Found, Source, events_of
from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.data.ray_session import OBJECT_STORE_BYTES, ensure_ray
from sdiwm_model.data.shard_file import one_value
from sdiwm_model.errors import SdiwmError

BLOCK_BYTES = 32_000_000  # decoded clips that travel together
FILES_A_TASK = 4
MOST_TASKS = 10_000

PLAIN = pa.schema(  # of an event, beside its frames; outcome is JSON, "" for a clip
    {"number": pa.int64(), "length": pa.int32(), "start": pa.float64(), "outcome": pa.string()}
)


def decode_on_ray(
    sources: Sequence[Source], settings: VideoSettings
) -> Iterator[tuple[int, Found]]:
    """A `Decoder`; all machines of the cluster must see the videos under the same path.

    Raises:
        SdiwmError: Ray is not installed, or a worker is lost for good.
    """
    ray = ensure_ray()
    numbered = [{"number": n, "source": _packed(each)} for n, each in enumerate(sources)]
    tasks = min(MOST_TASKS, math.ceil(len(sources) / FILES_A_TASK))
    decoded: Any = _decoded
    try:
        with ray.data.DataContext.current(_context(ray)):
            files = ray.data.from_items(numbered, override_num_blocks=max(1, tasks))
            events = files.map_batches(
                decoded, fn_args=(settings,), batch_format="pyarrow", batch_size=None
            )
            for batch in events.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from _events(batch, sources, settings)
    except ray.exceptions.RayError as error:
        raise SdiwmError(f"Ray failed ({error}); give the same command again") from None


def _context(ray: Any) -> Any:
    """How Ray Data shall run: in order and within bounds."""
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ray.data.ExecutionResources(
        object_store_memory=OBJECT_STORE_BYTES / 2
    )
    context.target_max_block_size = BLOCK_BYTES
    return context


def _packed(source: Source) -> str:
    """A source as JSON."""
    if isinstance(source, Outcome):
        return json.dumps({"outcome": asdict(source)})
    return json.dumps({"video": asdict(source) | {"path": str(source.path.absolute())}})


def _unpacked(text: str) -> Source:
    content = json.loads(text)
    if "outcome" in content:
        return Outcome(**content["outcome"])
    video = content["video"]
    return VideoSource(**video | {"path": Path(video["path"])})


def _decoded(batch: Any, settings: VideoSettings) -> Iterator[pa.Table]:
    """In a worker: yield every event of a few sources, each as a table of one row."""
    for row in batch.to_pylist():
        for found in events_of(_unpacked(row["source"]), settings):
            yield _row(row["number"], found)


def _row(number: int, found: Found) -> pa.Table:
    frames: Any = b""
    if isinstance(found, Outcome):
        values = (number, 0, 0.0, json.dumps(asdict(found)))
    else:
        frames, values = found.frames, (number, len(found), found.start, "")
    columns = [pa.array([value], kind) for value, kind in zip(values, PLAIN.types, strict=True)]
    return pa.table([one_value(pa.py_buffer(frames)), *columns], names=["frames", *PLAIN.names])


def _events(
    batch: pa.Table, sources: Sequence[Source], settings: VideoSettings
) -> Iterator[tuple[int, Found]]:
    """In the driver: the events of a block again, their frames not copied."""
    plain = batch.select(PLAIN.names).to_pylist()
    for row, frames in zip(plain, batch["frames"], strict=True):
        source = sources[row["number"]]
        if row["outcome"]:
            yield row["number"], Outcome(**json.loads(row["outcome"]))
        elif isinstance(source, VideoSource):
            pixels = np.frombuffer(frames.as_buffer(), np.uint8)
            pixels = pixels.reshape(row["length"], settings.size, settings.size, 3)
            yield row["number"], clip_of(pixels, source, row["start"])
