"""A LeRobot data set as tables, an episode at a time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.importers.column_settings import Roles
from sdiwm_model.data.importers.columns import Column, Table
from sdiwm_model.data.importers.lerobot.layout import (
    OURS,
    EpisodeFiles,
    episode_files,
    read_info,
    read_table,
    read_tasks,
)
from sdiwm_model.data.importers.lerobot.video import pictures_at
from sdiwm_model.data.importers.our_facts import facts_from_json
from sdiwm_model.data.importers.pictures import fitted
from sdiwm_model.errors import SdiwmError

BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
NUMBERS = "biuf"  # numpy's kinds


class LeRobotSource:
    """See `columns.ColumnSource`. Pictures are brought to `size` as they are decoded."""

    def __init__(self, root: Path, size: tuple[int, int] | None = None) -> None:
        self._root = root
        self._size = size
        self._info = read_info(root)
        self._episodes = episode_files(root, self._info)
        self._tasks = read_tasks(root, self._info)
        self._features: dict[str, Any] = self._info["features"]
        self.dt: float | None = 1.0 / self._info["fps"]
        self.columns = {
            name: column
            for name, feature in self._features.items()
            if name not in BOOKKEEPING and (column := _column(feature)) is not None
        }
        self.ours = self._read_ours()
        self.roles = Roles(
            proprio=self._there("observation.state"),
            action=self._there("action"),
            state=self._there("observation.environment_state"),
            goal_cost=self._there("goal_cost") if self.ours else (),
            camera=next((n for n in self.columns if self.columns[n].is_picture), "")
            if self.ours
            else "",
        )

    def __len__(self) -> int:
        return len(self._episodes)

    def instructions(self) -> Sequence[str]:
        return list(dict.fromkeys(self._tasks.values()))

    def _there(self, name: str) -> tuple[str, ...]:
        return (name,) if name in self.columns else ()

    def _read_ours(self) -> Mapping[str, Any] | None:
        path = self._root / OURS
        if not path.is_file():
            return None
        ours = facts_from_json(path.read_text(encoding="utf-8"), path)
        told = [each["length"] for each in ours["episodes"]]
        if told != [each.length for each in self._episodes]:
            raise SdiwmError(
                f"{path} speaks of other episodes: the data set was changed since sdiwm wrote it; "
                "remove that file to import it as any other"
            )
        return ours

    def read(self, index: int, names: Sequence[str]) -> Table:
        files = self._episodes[index]
        videos = [name for name in names if self._features[name]["dtype"] == "video"]
        stored = [name for name in names if name not in videos]
        rows = read_table(
            files.data,
            columns=[*stored, "timestamp", "task_index"],
            filters=[("episode_index", "=", files.index)],
        )
        if rows.num_rows != files.length:
            raise SdiwmError(
                f"{files.data} holds {rows.num_rows} of {files.length} rows of the episode"
            )
        columns = {name: self._values(name, rows[name]) for name in stored}
        for name in videos:
            columns[name] = self._video(files, name, rows["timestamp"].to_numpy())
        task = self._tasks.get(rows["task_index"][0].as_py())
        if task is None:
            raise SdiwmError(f"{files.data}: its task is not in the list of tasks")
        table = Table(columns, instruction=task)
        if self.ours is not None:
            ours = self.ours["episodes"][index]
            table.goal, table.seed = ours["goal"], ours["seed"]
            table.behaviour = ours["behaviour"]
        return table

    def _values(self, name: str, column: Any) -> NDArray[Any]:
        feature = self._features[name]
        if feature["dtype"] == "image":
            pictures = (_decoded(each, self._root) for each in column.to_pylist())
            return np.stack([fitted(each, self._size) for each in pictures])
        values = np.array(column.to_pylist(), dtype=feature["dtype"])
        return values.reshape(len(values), *feature["shape"])

    def _video(self, files: EpisodeFiles, name: str, stamps: NDArray[Any]) -> NDArray[np.uint8]:
        path, begin = files.videos[name]
        times = begin + stamps.astype(np.float64)
        return pictures_at(path, times.tolist(), 0.5 / float(self._info["fps"]), self._size)


def _column(feature: Mapping[str, Any]) -> Column | None:
    """What a feature is; None for text."""
    dtype, shape = str(feature.get("dtype")), tuple(feature.get("shape", ()))
    if dtype in ("video", "image"):
        names = feature.get("names") or ("height", "width", "channels")
        first = next(iter(names))
        if len(shape) == 3 and str(first).startswith("channel"):
            shape = (*shape[1:], shape[0])
        return Column("uint8", shape)
    try:
        kind = np.dtype(dtype).kind
    except TypeError:
        return None
    return Column(dtype, shape) if kind in NUMBERS else None


def _decoded(stored: Any, root: Path) -> NDArray[np.uint8]:
    """A picture that is stored in a row, as bytes or as a file's name."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = stored["bytes"]
        source = root / stored["path"] if data is None else io.BytesIO(data)
        with Image.open(source) as picture:
            return np.asarray(picture.convert("RGB"))
    except (TypeError, KeyError, OSError, UnidentifiedImageError) as error:
        raise SdiwmError(f"a picture cannot be decoded: {error}") from None
