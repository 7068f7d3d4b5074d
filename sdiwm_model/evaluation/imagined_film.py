"""Imagined beside real: each picture of a film holds the same moment three times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.decoder import Decoder
from sdiwm_model.evaluation.horizon import Whitening, cosine
from sdiwm_model.evaluation.imagination import (
    conditionings,
    encode,
    imagine,
    spread_starts,
    starting_latents,
    windows,
)
from sdiwm_model.film import Picture
from sdiwm_model.planning.protocols import Array
from sdiwm_model.runtime.protocols import Runtime

STRIDE = 2  # every second moment of a training episode is enough to fit a decoder
PANEL = 192  # pixels at least, each way
TOP, BOTTOM = 26, 50  # pixels of text
GAP = 8  # pixels
HOLD = 30  # times that the last picture of an episode is repeated
INK, FAINT, PAPER = (235, 235, 235), (150, 152, 158), (24, 26, 30)
TITLES = ("real", "imagined", "real, through the latent")
CAPTION = "imagined: from the first picture and the actions alone, never corrected"


@dataclass(frozen=True)
class Clip:
    """One episode of T steps and the observation before them.

    real, imagined, read  (T + 1, S, S, 3 * cameras) uint8: recorded pictures, those decoded from
                          imagined latents, and those decoded from the latents of the recorded ones
    similarity            (T + 1,) HRI of the imagined latents
    title                 what is said of the episode
    """

    real: NDArray[np.uint8]
    imagined: NDArray[np.uint8]
    read: NDArray[np.uint8]
    similarity: NDArray[np.float64]
    title: str


def latents_and_pictures(
    runtime: Runtime, episodes: Iterable[Episode]
) -> tuple[Array, NDArray[np.uint8]]:
    """What a decoder is fitted to: latents (N, Z), pictures (N, S, S, 3 * cameras)."""
    latents, pictures = [], []
    for episode in episodes:
        latents.append(encode(runtime, [episode]).latents[0, ::STRIDE])
        pictures.append(episode.frames[::STRIDE].copy())
    if not latents:
        raise SdiwmError("the data folder holds no episodes: collect some with `sdiwm collect`")
    return np.concatenate(latents), np.concatenate(pictures)


def make_clips(
    runtime: Runtime,
    decoder: Decoder,
    whitening: Whitening,
    reader: ShardReader,
    count: int,
    steps: int,
) -> list[Clip]:
    """The first ``count`` episodes of ``reader``, imagined for ``steps`` from their start on."""
    # A goal picture is another episode's: see `conditionings`.
    episodes = [reader.read(index) for index in range(min(max(count, 2), len(reader)))]
    encoded = encode(runtime, episodes)
    start = spread_starts(encoded.latents.shape[1], steps, 1, encoded.frames - 1)
    first = starting_latents(runtime, encoded, start)
    sentences = [each[0] for each in reader.task["train_instructions"]]
    c = conditionings(runtime, encoded, sentences, 0)
    path = imagine(runtime, first, windows(encoded.actions, start, steps), c)
    imagined = np.concatenate([first[:, :, None], path], axis=2)[:, 0]
    true = windows(encoded.latents, start, steps + 1)[:, 0]
    similarity = cosine(whitening(imagined), whitening(true))
    seen = slice(start[0], start[0] + steps + 1)
    return [
        Clip(
            real=episodes[index].frames[seen],
            imagined=decoder.draw(imagined[index]),
            read=decoder.draw(true[index]),
            similarity=similarity[index],
            title=f"{episodes[index].behaviour.replace('_', ' ')} motion",
        )
        for index in range(min(count, len(episodes)))
    ]


def draw_clip(clip: Clip, dt: float) -> Iterator[Picture]:
    """The pictures of one episode; ``dt`` s a model step."""
    last = len(clip.real) - 1
    for step, moment in enumerate(zip(clip.real, clip.imagined, clip.read, strict=True)):
        lines = (
            f"step {step:3d} of {last}   {step * dt:4.1f} s   "
            f"similarity of latents {clip.similarity[step]:5.2f}   {clip.title}",
            CAPTION,
        )
        picture = _compose(moment, lines)
        yield picture
    for _ in range(HOLD):
        yield picture


def _compose(moment: tuple[Picture, ...], lines: tuple[str, str]) -> Picture:
    from PIL import Image, ImageDraw, ImageFont

    panels = [_panel(picture) for picture in moment]
    height, width = panels[0].shape[:2]
    canvas = Image.new("RGB", (len(panels) * (width + GAP) + GAP, height + TOP + BOTTOM), PAPER)
    draw = ImageDraw.Draw(canvas)
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    for index, (panel, title) in enumerate(zip(panels, TITLES, strict=True)):
        left = GAP + index * (width + GAP)
        canvas.paste(Image.fromarray(panel), (left, TOP))
        draw.text((left, 5), title, font=font, fill=INK)
    draw.text((GAP, height + TOP + 6), lines[0], font=font, fill=INK)
    draw.text((GAP, height + TOP + 28), lines[1], font=small, fill=FAINT)
    return np.asarray(canvas)


def _panel(picture: Picture) -> Picture:
    """Cameras one below the other, every pixel a square: no detail that the model has not got."""
    size = picture.shape[0]
    cameras = picture.reshape(size, size, -1, 3).transpose(2, 0, 1, 3).reshape(-1, size, 3)
    scale = -(-PANEL // size)
    return cameras.repeat(scale, axis=0).repeat(scale, axis=1)
