"""Synthetic video, and clips of it, for measuring how fast data comes in and goes out."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardWriter

VIDEO_SIZE = (340, 256)  # width, height: what copies of Kinetics are usually scaled to
VIDEO_FPS = 30
GRAIN = 24  # levels of noise: makes the files as large as real ones of that size, ~1 Mbit/s
TIME_BASE = Fraction(1, VIDEO_FPS)


def make_clips(folder: Path, clips: int, frames: int, side: int, seed: int) -> None:
    """Write ``clips`` of noise, uint8 (frames, side, side, 3) each, as shards."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8)
    none = np.zeros((frames, 0), np.float32)
    spec = EpisodeSpec(image=(side, side, 3), proprio=0, action=0, goals=0, state=0)
    with ShardWriter(folder, spec, {"made": "for measuring"}, episodes_per_shard=10**6) as writer:
        for number in range(clips):
            shifted = noise + np.uint8(number % 256)
            writer.write(Episode(shifted, none, none, none, none, "", -1, "video", number))


def make_videos(folder: Path, videos: int, seconds: float, seed: int) -> int:
    """Write H.264 videos, a grainy camera panning over a plane; return the frames of each.

    They are copies of one file: to decode them costs what as many different ones would.
    """
    import av

    rng = np.random.default_rng(seed)
    width, height = VIDEO_SIZE
    count = round(seconds * VIDEO_FPS)
    plane = np.kron(
        rng.integers(0, 256, (height // 8 + 1, (width + 2 * count) // 8 + 1, 3), dtype=np.uint8),
        np.ones((8, 8, 1), np.uint8),
    )
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "video-000.mp4"
    with av.open(str(first), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for step in range(count):
            grain = rng.integers(0, GRAIN, (height, width, 1), dtype=np.uint8)
            picture = np.ascontiguousarray(plane[:height, 2 * step : 2 * step + width] // 2 + grain)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = step, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for number in range(1, videos):
        shutil.copyfile(first, folder / f"video-{number:03d}.mp4")
    return count


def drop_from_cache(folder: Path) -> None:
    """Ask the system to forget the files of a folder, so that the disk has to be read again."""
    for path in sorted(folder.iterdir()):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not on disk yet stays in memory
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
