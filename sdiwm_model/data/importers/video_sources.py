"""Which videos a folder holds and what they show: plain folders, and Kinetics' lists.

Kinetics is a folder with lists (CSV: label,youtube_id,time_start,time_end,split) and, anywhere
below it, files named by the video's id, alone or with the times: ID_000012_000022.mp4, usually in
a folder a class. Every row without a file and every file without a row is said.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdiwm_model.data.importers.video_decode import Outcome, VideoSource
from sdiwm_model.data.importers.video_settings import VideoSettings
from sdiwm_model.errors import SdiwmError

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv")
NEEDED = ("youtube_id", "time_start", "time_end")


def find_sources(root: Path, settings: VideoSettings) -> list[VideoSource | Outcome]:
    """Return what is to be decoded below ``root``, by name, and first what cannot be.

    Raises:
        SdiwmError: there is no video, or a list lacks a column.
    """
    if root.is_file():
        return [VideoSource(root, _printable(root.name))]
    files = {name: root / name for name in sorted(_videos(root))}
    lists = kinetics_lists(root)
    if not files and not lists:
        raise SdiwmError(f"{root} holds no video; its name would end in {', '.join(ENDINGS)}")
    if not lists:
        if settings.split:
            raise SdiwmError(f"split is '{settings.split}', but {root} holds no list of splits")
        return [
            VideoSource(path, _printable(name), _folder_label(name)) for name, path in files.items()
        ]
    return _listed(root, lists, files, settings)


def has_videos(root: Path) -> bool:
    """Whether there is any video below ``root``, or it is one."""
    if root.is_file():
        return root.suffix.lower() in ENDINGS
    return next(_videos(root), None) is not None


def kinetics_lists(root: Path) -> list[Path]:
    """The lists of a folder in Kinetics' layout, none for another folder."""
    found = []
    for path in sorted(root.glob("*.csv")) + sorted(root.glob("annotations/*.csv")):
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            if "youtube_id" in next(csv.reader(stream), []):
                found.append(path)
    return found


def _videos(root: Path) -> Iterator[str]:
    """Names of the video files below ``root``, relative to it."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _folder_label(name: str) -> str:
    """What the folder of a file is called, "" at the top."""
    return _printable(Path(name).parent.name.replace("_", " "))


def _printable(name: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return os.fsencode(name).decode("utf-8", "replace")


@dataclass(frozen=True)
class _Row:
    place: str
    identity: str
    stem: str
    label: str
    split: str


def _listed(
    root: Path, lists: list[Path], files: dict[str, Path], settings: VideoSettings
) -> list[VideoSource | Outcome]:
    by_stem = {Path(name).stem: name for name in files}
    problems: list[Outcome] = []
    rows: dict[str, _Row] = {}  # by the file's name
    for path in lists:
        for row in _rows(path):
            if isinstance(row, Outcome):
                problems.append(row)
                continue
            name = by_stem.get(row.stem) or by_stem.get(row.identity)
            if name is None:
                if settings.split in ("", row.split):
                    problems.append(Outcome(row.place, reasons=[f"no file {row.stem}.* is there"]))
            elif name in rows:
                said = f"{name} is listed already, by {rows[name].place}"
                problems.append(Outcome(row.place, reasons=[said]))
            else:
                rows[name] = row
    found: list[VideoSource | Outcome] = [*problems]
    for name, path in files.items():
        if name not in rows:
            note = "no list has a row for it: its folder gave the label"
            if not settings.split:
                found.append(VideoSource(path, _printable(name), _folder_label(name), note))
            else:
                note = f"no list has a row for it, so its split is unknown, not '{settings.split}'"
                found.append(Outcome(_printable(name), reasons=[note]))
        elif settings.split in ("", rows[name].split):
            found.append(VideoSource(path, _printable(name), rows[name].label))
    return found


def _rows(path: Path) -> Iterator[_Row | Outcome]:
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        for name in NEEDED:
            if name not in (reader.fieldnames or ()):
                raise SdiwmError(f"{path} lacks the column '{name}'")
        for row in reader:
            place = f"{path.name} line {reader.line_num}"
            empty = next((name for name in NEEDED if not row[name]), None)
            if empty is not None:
                yield Outcome(place, reasons=[f"the row has no {empty}"])
                continue
            try:
                times = [int(float(row[name])) for name in ("time_start", "time_end")]
            except ValueError:
                yield Outcome(place, reasons=["time_start and time_end are no numbers"])
                continue
            stem = f"{row['youtube_id']}_{times[0]:06d}_{times[1]:06d}"
            split = row.get("split") or path.stem
            yield _Row(place, row["youtube_id"], stem, row.get("label") or "", split)
