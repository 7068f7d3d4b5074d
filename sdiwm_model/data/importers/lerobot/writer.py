"""Folders of episodes written as LeRobot data sets.

observation.state is our proprio, observation.environment_state our state, and there is goal_cost;
actions stay scaled to [-1, 1] (the limits are in meta/sdiwm.json), so that nothing is rounded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.importers.lerobot.layout import CHUNK, INFO, OURS, TEMPLATES, V21
from sdiwm_model.data.importers.lerobot.stats import all_stats, as_lists, episode_stats
from sdiwm_model.data.importers.lerobot.video import VideoFile, check_video_size
from sdiwm_model.data.importers.our_facts import our_facts
from sdiwm_model.data.importers.protocols import ExportOptions
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_folder, json_text, write_json

DATA_BYTES, VIDEO_BYTES = 100_000_000, 200_000_000  # of a file of version 3, as LeRobot has them
VECTORS = {
    "proprio": "observation.state",
    "action": "action",
    "state": "observation.environment_state",
    "goal_cost": "goal_cost",
}
ROW_NUMBERS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def write_dataset(
    reader: ShardReader, out: Path, options: ExportOptions, version: str
) -> list[str]:
    """See `protocols.Format.write`."""
    fps = _frame_rate(reader.spec)
    check_video_size(*reader.spec.image[:2], options.lossless)
    with atomic_folder(out) as folder:
        with _Files(folder, version, reader.spec, fps, options.lossless) as files:
            for index in range(len(reader)):
                files.write(reader.read(index))
        files.describe()
    if options.lossless:
        return []
    return ["the pictures bit for bit: the video is lossy; --lossless keeps them"]


def _frame_rate(spec: EpisodeSpec) -> int:
    dt = float(spec.task.get("dt", 0.0))
    fps = round(1 / dt) if dt > 0 else 0
    if fps < 1 or abs(fps * dt - 1) > 1e-9:
        raise SdiwmError(
            f"a time step of {dt} s is no whole number of frames a second; LeRobot needs one"
        )
    return fps


class _Files:
    """The files of a data set that is being written."""

    def __init__(
        self, folder: Path, version: str, spec: EpisodeSpec, fps: int, lossless: bool
    ) -> None:
        self._folder = folder
        self._version = version
        self._spec = spec
        self._fps = fps
        self._lossless = lossless
        cameras = spec.task.get("cameras") or ["front"]
        self._camera = "observation.images." + re.sub(r"[^\w-]", "_", str(cameras[0]))
        self._vectors = {
            name: feature for name, feature in VECTORS.items() if spec.columns()[name][1] != (0,)
        }
        self._tasks: dict[str, int] = {}
        self._stats: list[Any] = []
        self._rows: list[dict[str, Any]] = []
        self._ours: list[dict[str, Any]] = []
        self._frames = 0
        self._data: Any = None
        self._video: VideoFile | None = None
        self._data_place = self._video_place = (0, 0)
        self._data_file = self._video_file = Path()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._close_data()
        self._close_video()

    def write(self, episode: Episode) -> None:
        """Append an episode."""
        index = len(self._rows)
        self._open_files(index)
        assert self._video is not None
        begin = self._video.frames
        self._video.write(episode.frames)
        columns = {
            feature: np.asarray(getattr(episode, name)) for name, feature in self._vectors.items()
        }
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        numbers = self._numbers(len(episode), index, task)
        self._data.write_table(_table(columns | numbers))
        self._stats.append(episode_stats({self._camera: episode.frames} | columns | numbers))
        self._rows.append(
            {
                "episode_index": index,
                "tasks": [episode.instruction],
                "length": len(episode),
                "data/chunk_index": self._data_place[0],
                "data/file_index": self._data_place[1],
                "dataset_from_index": self._frames,
                "dataset_to_index": self._frames + len(episode),
                f"videos/{self._camera}/chunk_index": self._video_place[0],
                f"videos/{self._camera}/file_index": self._video_place[1],
                f"videos/{self._camera}/from_timestamp": begin / self._fps,
                f"videos/{self._camera}/to_timestamp": self._video.frames / self._fps,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
        )
        self._ours.append(
            {
                "length": len(episode),
                "goal": int(episode.goal),
                "seed": int(episode.seed),
                "behaviour": episode.behaviour,
            }
        )
        self._frames += len(episode)

    def _numbers(self, steps: int, episode: int, task: int) -> dict[str, NDArray[Any]]:
        values = {
            "timestamp": np.arange(steps) / self._fps,
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, episode),
            "index": self._frames + np.arange(steps),
            "task_index": np.full(steps, task),
        }
        return {name: values[name].astype(dtype) for name, dtype in ROW_NUMBERS.items()}

    def _open_files(self, episode: int) -> None:
        """The files that the episode goes to."""
        import pyarrow.parquet as pq

        place = self._place(self._data_file, self._data_place, DATA_BYTES, episode)
        if self._data is None or place != self._data_place:
            self._close_data()
            self._data_place = place
            self._data_file = self._path(0, place)
            self._data_file.parent.mkdir(parents=True, exist_ok=True)
            self._data = pq.ParquetWriter(self._data_file, self._schema())
        place = self._place(self._video_file, self._video_place, VIDEO_BYTES, episode)
        if self._video is None or place != self._video_place:
            self._close_video()
            self._video_place = place
            self._video_file = self._path(1, place)
            self._video = VideoFile(
                self._video_file, self._fps, self._spec.image[:2], self._lossless
            )

    def _place(
        self, file: Path, place: tuple[int, int], limit: int, episode: int
    ) -> tuple[int, int]:
        """Chunk and file that the next episode goes to."""
        if self._version == V21:
            return episode // CHUNK, episode
        if not file.is_file() or file.stat().st_size < limit:
            return place
        return (place[0], place[1] + 1) if place[1] + 1 < CHUNK else (place[0] + 1, 0)

    def _path(self, kind: int, place: tuple[int, int]) -> Path:
        chunk, file = place
        return self._folder / TEMPLATES[self._version][kind].format(
            episode_chunk=chunk,
            episode_index=file,
            chunk_index=chunk,
            file_index=file,
            video_key=self._camera,
        )

    def _close_data(self) -> None:
        if self._data is not None:
            self._data.close()
            self._data = None

    def _close_video(self) -> None:
        if self._video is not None:
            self._video.close()
            self._video = None

    def _schema(self) -> Any:
        import pyarrow as pa

        widths = {
            feature: self._spec.columns()[name][1][0] for name, feature in self._vectors.items()
        }
        kinds = {
            name: pa.float32() if width == 1 else pa.list_(pa.float32(), width)
            for name, width in widths.items()
        }
        kinds |= {name: pa.type_for_alias(dtype) for name, dtype in ROW_NUMBERS.items()}
        return pa.schema(list(kinds.items()))

    def describe(self) -> None:
        """Write what LeRobot and sdiwm have to know, when all episodes are there."""
        meta = self._folder / "meta"
        write_json(self._folder / INFO, self._info())
        if self._version == V21:
            tasks = [{"task_index": number, "task": task} for task, number in self._tasks.items()]
            _write_lines(meta / "tasks.jsonl", tasks)
            names = ("episode_index", "tasks", "length")
            _write_lines(
                meta / "episodes.jsonl", [{name: row[name] for name in names} for row in self._rows]
            )
            stats = [
                {"episode_index": index, "stats": as_lists(each)}
                for index, each in enumerate(self._stats)
            ]
            _write_lines(meta / "episodes_stats.jsonl", stats)
        else:
            _write_tasks(meta / "tasks.parquet", self._tasks)
            self._write_episodes(meta / "episodes/chunk-000/file-000.parquet")
            write_json(meta / "stats.json", as_lists(all_stats(self._stats)))
        facts = our_facts(self._spec) | {"episodes": self._ours}
        write_json(self._folder / OURS, facts)

    def _write_episodes(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = {
            name: [row[name] for row in self._rows] for name in self._rows[0]
        }
        listed = [as_lists(each) for each in self._stats]
        for feature, stats in listed[0].items():
            for key in stats:
                columns[f"stats/{feature}/{key}"] = [each[feature][key] for each in listed]
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)

    def _info(self) -> dict[str, Any]:
        data_path, video_path = TEMPLATES[self._version]
        episodes = len(self._rows)
        info = {
            "codebase_version": self._version,
            "robot_type": str(self._spec.task.get("name", "unknown")),
            "total_episodes": episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK,
            "fps": self._fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": data_path,
            "video_path": video_path,
            "features": self._features(),
        }
        if self._version == V21:
            return info | {"total_videos": episodes, "total_chunks": -(-episodes // CHUNK)}
        return info | {
            "data_files_size_in_mb": DATA_BYTES // 10**6,
            "video_files_size_in_mb": VIDEO_BYTES // 10**6,
        }

    def _features(self) -> dict[str, Any]:
        height, width, channels = self._spec.image
        camera = {
            "dtype": "video",
            "shape": [height, width, channels],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.channels": channels,
                "video.codec": "h264",
                "video.pix_fmt": "gbrp" if self._lossless else "yuv420p",
                "video.is_depth_map": False,
                "video.fps": self._fps,
                "has_audio": False,
            },
        }
        vectors = {
            feature: {
                "dtype": "float32",
                "shape": list(self._spec.columns()[name][1]),
                "names": None,
            }
            for name, feature in self._vectors.items()
        }
        numbers = {
            name: {"dtype": dtype, "shape": [1], "names": None}
            for name, dtype in ROW_NUMBERS.items()
        }
        return {self._camera: camera} | vectors | numbers


def _table(columns: dict[str, NDArray[Any]]) -> Any:
    """Rows of width 1 are numbers, wider ones lists of fixed length."""
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        if values.ndim == 1 or values.shape[1] == 1:
            arrays[name] = pa.array(values.reshape(-1))
        else:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(arrays)


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_tasks(path: Path, tasks: dict[str, int]) -> None:
    """A table that pandas reads with the task as its index, as LeRobot expects."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy,
             "metadata": None}
            for name, kind, numpy in (
                ("task_index", "int64", "int64"), ("task", "unicode", "object")
            )
        ],
        "pandas_version": "2.0.0",
    }  # fmt: skip
    columns = {"task_index": list(tasks.values()), "task": list(tasks)}
    table = pa.table(columns, schema=pa.schema({"task_index": pa.int64(), "task": pa.string()}))
    pq.write_table(table.replace_schema_metadata({"pandas": json_text(pandas)}), path)
