"""Pictures one after another as a film: MP4 or GIF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path

Picture = NDArray[np.uint8]
GIF_STRIDE = 2  # a GIF holds every second picture, twice as long
GIF_COLOURS = 64
SHADE = 8  # levels that are one colour when the palette is made
PALETTE_PICTURES = 16  # from which the colours of a GIF are taken


def check_film_path(path: Path) -> None:
    """Raise SdiwmError unless `write_film` knows the suffix of ``path``."""
    if path.suffix not in (".mp4", ".gif"):
        raise SdiwmError(f"{path}: a film is written as .mp4 or .gif")


def write_film(frames: Iterator[Picture], path: Path, rate: float) -> int:
    """Write an MP4 or, by its suffix, a GIF; returns the number of frames.

    Args:
        frames: (H, W, 3) RGB, even numbers of pixels.
        rate: pictures a second.

    Raises:
        SdiwmError: there is no frame, or another suffix.
    """
    check_film_path(path)
    first = next(frames, None)
    if first is None:
        raise SdiwmError(f"{path}: there is nothing to film, no episode came to its end")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        write = _write_mp4 if path.suffix == ".mp4" else _write_gif
        return write(first, frames, part, rate)


def _write_mp4(first: Picture, frames: Iterator[Picture], path: Path, rate: float) -> int:
    import imageio_ffmpeg

    height, width = first.shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=rate, quality=8, macro_block_size=2,
        output_params=["-f", "mp4", "-movflags", "+faststart"],
    )  # fmt: skip
    writer.send(None)
    count = 1
    writer.send(np.ascontiguousarray(first))
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
        count += 1
    writer.close()
    return count


def _write_gif(first: Picture, frames: Iterator[Picture], path: Path, rate: float) -> int:
    from PIL import Image

    kept = [first, *frames][::GIF_STRIDE]
    some = np.concatenate(kept[:: max(1, len(kept) // PALETTE_PICTURES)])
    shades = np.unique(some.reshape(-1, 3) // SHADE * SHADE, axis=0)  # a small puck counts as much
    palette = Image.fromarray(shades[None]).quantize(GIF_COLOURS)  # as a whole table
    # One palette for all: what does not move then costs no bytes.
    none = Image.Dither.NONE
    pictures = [Image.fromarray(each).quantize(palette=palette, dither=none) for each in kept]
    pictures[0].save(
        path, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
        duration=round(1000 * GIF_STRIDE / rate),
    )  # fmt: skip
    return len(pictures)
