"""How fast clips come, how long training would wait for them, and what memory that takes.

Every trial runs in processes of its own, a process a rank, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from queue import Empty
from typing import Any

from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.data.stream import ClipBatch, ClipLoader
from sdiwm_model.data.stream_local import Rank
from sdiwm_model.data.stream_samples import drop_from_cache
from sdiwm_model.errors import SdiwmError

KINDS = ("local", "ray")
POLL_SECONDS = 1.0  # how soon it is noticed that a measuring process is gone


@dataclass(frozen=True)
class Trial:
    """One measurement of a loader.

    kind: of KINDS; demand_fps: frames a second that all ranks together would train on, 0 takes
    what comes; seconds: how long, 0 for one epoch; settle: seconds at the same demand before.
    """

    kind: str
    folder: Path
    frames: int
    batch: int
    ranks: int = 1
    demand_fps: float = 0.0
    seconds: float = 0.0
    settle: float = 0.0
    seed: int = 0
    object_store_bytes: int = 1_000_000_000


def measure(trial: Trial) -> dict[str, float]:
    """Return first_batch_s, read_fps, wait_fraction and rss_peak_mb of a trial.

    first_batch_s, wait_fraction (of the time after settling) and rss_peak_mb are those of
    the worst rank; read_fps, frames a second from the opening of the loader on, of all ranks.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(trial.ranks)
    found = in_processes(
        _rank, [(trial, Rank(index, trial.ranks), barrier) for index in range(trial.ranks)]
    )
    worst = {key: max(each[key] for each in found) for key in found[0] if key != "read_fps"}
    return {"read_fps": sum(each["read_fps"] for each in found), **worst}


def measure_ingest(
    kind: str, videos: Path, settings: VideoSettings, out: Path, frames: int
) -> dict[str, float]:
    """Return decode_fps, kept_fps, write_mb_s and rss_peak_mb of an ingest of ``frames`` frames."""
    return in_processes(_ingest, [(kind, videos, settings, out, frames)])[0]


def disk_fps(folder: Path, frame_bytes: int) -> float:
    """Frames a second that one reader gets from the disk going straight through all shards."""
    drop_from_cache(folder)
    block = bytearray(4 << 20)
    count = 0
    began = time.perf_counter()
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb", buffering=0) as stream:
            while found := stream.readinto(block):
                count += found
    return count / frame_bytes / (time.perf_counter() - began)


def in_processes(
    work: Callable[..., dict[str, float]], arguments: list[tuple[Any, ...]]
) -> list[dict[str, float]]:
    """Run ``work`` in a new process for each of ``arguments``, all at once; return their answers.

    Raises:
        SdiwmError: one of them failed; its words.
    """
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    processes = [
        context.Process(target=_answer, args=(answers, index, work, each), daemon=True)
        for index, each in enumerate(arguments)
    ]
    for process in processes:
        process.start()
    found: dict[int, dict[str, float]] = {}
    try:
        while len(found) < len(processes):
            died = [each.exitcode for each in processes if each.exitcode]
            try:
                index, answer = answers.get(timeout=POLL_SECONDS)
            except Empty:
                if died:
                    raise SdiwmError(f"a measuring process died, status {died[0]}") from None
                continue
            if isinstance(answer, str):
                raise SdiwmError(f"a measuring process failed: {answer}")
            found[index] = answer
    finally:
        for process in processes:
            if len(found) < len(processes):
                process.terminate()
            process.join()
    return [found[index] for index in range(len(processes))]


def _answer(
    answers: Any, index: int, work: Callable[..., dict[str, float]], arguments: tuple[Any, ...]
) -> None:
    try:
        answers.put((index, work(*arguments) | {"rss_peak_mb": _peak_memory_mb()}))
    except BaseException as error:
        answers.put((index, str(error) or type(error).__name__))


def open_loader(trial: Trial, rank: Rank) -> ClipLoader:
    """Open the loader that a trial measures."""
    if trial.kind == "ray":
        from sdiwm_model.data.ray_stream import RayClipLoader

        return RayClipLoader(
            trial.folder, trial.frames, trial.batch, trial.seed, rank,
            object_store_bytes=trial.object_store_bytes,
        )  # fmt: skip
    from sdiwm_model.data.stream_local import LocalClipLoader

    return LocalClipLoader(trial.folder, trial.frames, trial.batch, trial.seed, rank)


def _rank(trial: Trial, rank: Rank, barrier: Any) -> dict[str, float]:
    if trial.kind == "ray":
        from sdiwm_model.data.ray_session import ensure_ray

        ensure_ray(trial.object_store_bytes)
    began = time.perf_counter()
    loader = open_loader(trial, rank)
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - began
    barrier.wait()
    settling = _train(trial, rank, batches, trial.settle)[0] if trial.settle else 0
    epoch = max(1, loader.clips // (trial.batch * rank.world) - 1)
    taken, waited, spent = _train(trial, rank, batches, trial.seconds or inf, epoch)
    elapsed = time.perf_counter() - began
    loader.close()
    size = trial.batch * trial.frames
    return {
        "read_fps": (1 + settling + taken) * size / elapsed,
        "wait_fraction": waited / spent if spent else 0.0,
        "first_batch_s": first,
    }


def _train(
    trial: Trial, rank: Rank, batches: Iterator[ClipBatch], seconds: float, epoch: int = 0
) -> tuple[int, float, float]:
    """Batches taken in ``seconds``, or in ``epoch`` where they are infinite; s waited; s in all.

    In place of a training step we sleep as long as it would take at the demand: as on a machine
    whose accelerator computes, the processor is free meanwhile.
    """
    share = trial.demand_fps / rank.world
    step = trial.batch * trial.frames / share if share else 0.0
    taken, waited = 0, 0.0
    start = time.perf_counter()
    while taken < epoch if seconds == inf else time.perf_counter() - start < seconds:
        if step:
            time.sleep(step)
        asked = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - asked
        taken += 1
    return taken, waited, time.perf_counter() - start


def _ingest(
    kind: str, videos: Path, settings: VideoSettings, out: Path, frames: int
) -> dict[str, float]:
    from sdiwm_model.data.importers.video_ingest import ingest

    decoder = None
    if kind == "ray":
        from sdiwm_model.data.importers.video_ray import decode_on_ray
        from sdiwm_model.data.ray_session import ensure_ray

        ensure_ray()
        decoder = decode_on_ray
    began = time.perf_counter()
    manifest = ingest([videos], settings, out, "sdiwm bench data", decoder)
    elapsed = time.perf_counter() - began
    if manifest["failures"]:
        raise SdiwmError(f"the ingest lost something: {manifest['failures'][0]}")
    return {
        "decode_fps": frames / elapsed,
        "kept_fps": manifest["frames"] / elapsed,
        "write_mb_s": sum(shard["bytes"] for shard in manifest["shards"]) / 1e6 / elapsed,
    }


def _peak_memory_mb() -> float:
    """Most memory of this process so far; since its program began, unlike getrusage's figure."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1e3
    raise SdiwmError("this system does not tell a process's peak memory")
