"""What a folder of episodes looks like: histograms, and a contact sheet of its pictures.

Lengths are those of all episodes; everything else is of at most EPISODES of them, evenly spread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

EPISODES = 64
BINS = 24
BARS = " ▁▂▃▄▅▆▇█"

CELL = 96  # pixels of a picture on the sheet
ROWS, COLUMNS = 8, 8
CAPTION = 14  # pixels of a line of text
CHART = 72  # pixels of a histogram's height
MARGIN = 6


@dataclass(frozen=True)
class Histogram:
    """counts (BINS,) of the values between low and high, in `unit`."""

    name: str
    unit: str
    low: float
    high: float
    counts: list[int]

    @staticmethod
    def of(name: str, unit: str, values: NDArray[Any], low: float, high: float) -> Histogram:
        """Count the values; equal bounds are moved apart."""
        high = high if high > low else low + 1.0
        counts, _ = np.histogram(values, bins=BINS, range=(low, high))
        return Histogram(name, unit, float(low), float(high), counts.tolist())

    def line(self) -> str:
        """One line of text: a bar a bin, and the range."""
        top = max(self.counts) or 1
        bars = "".join(BARS[-(-count * (len(BARS) - 1) // top)] for count in self.counts)
        return f"{self.name:<14}|{bars}| {self.low:g} to {self.high:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Look:
    """What was seen of a folder: histograms, instructions by how often, and where from."""

    histograms: list[Histogram]
    instructions: dict[str, int]
    episodes: int

    def as_json(self) -> dict[str, Any]:
        """For `sdiwm data info --json`."""
        return {
            "episodes": self.episodes,
            "instructions": self.instructions,
            "histograms": [vars(each) for each in self.histograms],
        }


def look(folder: Path) -> Look:
    """Return the histograms of a folder.

    brightness is of each picture's mean, change of the mean difference between one picture and the
    next, both of 0..255; action and proprio are of each column.

    Raises:
        SdiwmError: the folder is damaged where it was read, or holds no episode.
    """
    reader = _reader(folder)
    episodes = list(_thin(reader))
    lengths = np.array(reader.lengths)
    found = [Histogram.of("length", "steps", lengths, lengths.min(), lengths.max())]
    bright = np.concatenate([each[1]["brightness"] for each in episodes])
    change = np.concatenate([each[1]["change"] for each in episodes])
    found.append(Histogram.of("brightness", "", bright, 0.0, 255.0))
    found.append(Histogram.of("change", "", change, 0.0, change.max(initial=0.0)))
    for name, low, high in (("action", -1.0, 1.0), ("proprio", None, None)):
        values = np.concatenate([each[1][name] for each in episodes])
        for index, column in enumerate(values.T):
            bounds = (column.min(), column.max()) if low is None else (low, high)
            found.append(Histogram.of(f"{name} {index}", "", column, *bounds))
    costs = np.concatenate([each[1]["goal_cost"] for each in episodes])
    if costs.size:
        found.append(Histogram.of("goal_cost", "", costs, 0.0, costs.max()))
    said = Counter(each[0] for each in episodes)
    return Look(found, dict(said.most_common()), len(episodes))


def _thin(reader: ShardReader) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
    """Instruction and numbers of some episodes, one episode in memory at once."""
    for index in _spread(len(reader), EPISODES):
        episode = reader.read(index)
        means = episode.frames.mean(axis=(1, 2, 3))
        moved = np.abs(np.diff(episode.frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        yield episode.instruction, {
            "brightness": means, "change": moved, "action": episode.action[:-1],
            "proprio": episode.proprio, "goal_cost": episode.goal_cost,
        }  # fmt: skip


def write_contact_sheet(folder: Path, path: Path) -> None:
    """Write a PNG: some episodes, a row each with pictures evenly spread, above their histograms.

    Raises:
        SdiwmError: as `look` does, or `path` is no PNG.
    """
    from PIL import Image, ImageDraw

    if path.suffix.lower() != ".png":
        raise SdiwmError(f"--contact-sheet {path}: the sheet is a PNG; let its name end in .png")
    reader = _reader(folder)
    rows = _spread(len(reader), ROWS)
    charts = look(folder).histograms
    across = COLUMNS * CELL // (CELL * 2)  # charts beside each other
    lines = -(-len(charts) // across)
    height = len(rows) * (CELL + CAPTION) + lines * (CHART + 2 * CAPTION) + MARGIN
    sheet = Image.new("RGB", (COLUMNS * CELL, height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, index in enumerate(rows):
        episode = reader.read(index)
        top = row * (CELL + CAPTION)
        draw.text((2, top + 1), _caption(index, episode), fill="black")
        for column, step in enumerate(_spread(len(episode), COLUMNS)):
            picture = Image.fromarray(episode.frames[step]).resize((CELL, CELL))
            sheet.paste(picture, (column * CELL, top + CAPTION))
    below = len(rows) * (CELL + CAPTION) + MARGIN
    for number, chart in enumerate(charts):
        left = number % across * CELL * 2 + MARGIN
        _draw_chart(draw, chart, left, below + number // across * (CHART + 2 * CAPTION))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")


def _caption(index: int, episode: Episode) -> str:
    where = f"{episode.source} from {episode.start:.1f} s" if episode.source else episode.behaviour
    text = f"{index}: {len(episode)} steps, {where}, {episode.instruction}".rstrip(", ")
    return text.encode("ascii", "replace").decode()[: COLUMNS * CELL // 6]


def _draw_chart(draw: ImageDraw, chart: Histogram, left: int, top: int) -> None:
    width = 2 * CELL - 2 * MARGIN
    draw.text((left, top), f"{chart.name} {chart.unit}", fill="black")
    base = top + CAPTION + CHART
    highest = max(chart.counts) or 1
    for index, count in enumerate(chart.counts):
        x = left + index * width // BINS
        tall = round((CHART - 4) * count / highest)
        draw.rectangle((x, base - tall, x + width // BINS - 2, base), fill="steelblue")
    draw.text((left, base + 1), f"{chart.low:.4g}", fill="black")
    high = f"{chart.high:.4g}"
    draw.text((left + width - 6 * len(high), base + 1), high, fill="black")


def _reader(folder: Path) -> ShardReader:
    reader = ShardReader(folder, whole_shards=False)
    if not len(reader):
        raise SdiwmError(f"{folder} holds no episode: there is nothing to look at")
    return reader


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of 0 .. count - 1, evenly spread, ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
