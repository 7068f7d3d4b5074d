"""Where LeRobot's two versions keep things, brought to one description.

Version 2.1 has a data and a video file an episode and JSON lines about them; version 3.0 puts many
episodes into each file and describes them in Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import read_json_object

INFO = "meta/info.json"
OURS = "meta/sdiwm.json"  # what sdiwm keeps beside; LeRobot ignores it
REMEDY = "copy the data set again from its source"
V21, V3 = "v2.1", "v3.0"
READ = {"v2.0": V21, V21: V21, V3: V3}  # 2.0 is 2.1 without statistics
CHUNK = 1000  # files in a folder
TEMPLATES = {
    V21: (
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ),
    V3: (
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ),
}


@dataclass(frozen=True)
class EpisodeFiles:
    """Where one episode is: its Parquet file, and for each camera a video and the s it begins at.

    length: rows that it should have.
    """

    index: int
    length: int
    data: Path
    videos: Mapping[str, tuple[Path, float]]


def read_info(root: Path) -> dict[str, Any]:
    """The description of a data set.

    Raises:
        SdiwmError: it is missing or damaged, of another version, or lacks what is needed.
    """
    info = read_json_object(root / INFO, REMEDY)
    version = info.get("codebase_version")
    if version not in READ:
        raise SdiwmError(
            f"{root / INFO}: version {version!r} is not read, only {', '.join(READ)}; "
            "convert it with LeRobot's own script"
        )
    for name, kind in (("fps", (int, float)), ("features", dict), ("data_path", str)):
        if not isinstance(info.get(name), kind):
            raise SdiwmError(f"{root / INFO} lacks '{name}'; {REMEDY}")
    return info


def episode_files(root: Path, info: Mapping[str, Any]) -> list[EpisodeFiles]:
    """Where every episode is, in order.

    Raises:
        SdiwmError: the description is damaged, or does not hold as many as it should.
    """
    cameras = [name for name, each in info["features"].items() if each.get("dtype") == "video"]
    read = _files_v21 if READ[info["codebase_version"]] == V21 else _files_v3
    try:
        found = list(read(root, info, cameras))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SdiwmError(f"{root}: the list of episodes is damaged ({error!r}); {REMEDY}") from None
    expected = info.get("total_episodes", len(found))
    if len(found) != expected:
        raise SdiwmError(
            f"{root}: {INFO} speaks of {expected} episodes, the list holds {len(found)}; {REMEDY}"
        )
    return found


def _files_v21(root: Path, info: Mapping[str, Any], cameras: list[str]) -> Iterator[EpisodeFiles]:
    for line in read_json_lines(root / "meta/episodes.jsonl"):
        index = int(line["episode_index"])
        names = {
            "episode_index": index,
            "episode_chunk": index // int(info.get("chunks_size", CHUNK)),
        }
        videos = {
            key: (root / info["video_path"].format(video_key=key, **names), 0.0) for key in cameras
        }
        data = root / info["data_path"].format(**names)
        yield EpisodeFiles(index, int(line["length"]), data, videos)


def _files_v3(root: Path, info: Mapping[str, Any], cameras: list[str]) -> Iterator[EpisodeFiles]:
    parts = sorted((root / "meta/episodes").glob("*/*.parquet"))
    if not parts:
        raise SdiwmError(f"{root / 'meta/episodes'} holds no list of episodes; {REMEDY}")
    for part in parts:
        for row in read_table(part, without="stats/").to_pylist():
            videos = {
                key: (
                    root
                    / info["video_path"].format(
                        video_key=key,
                        chunk_index=row[f"videos/{key}/chunk_index"],
                        file_index=row[f"videos/{key}/file_index"],
                    ),
                    float(row[f"videos/{key}/from_timestamp"]),
                )
                for key in cameras
            }
            data = root / info["data_path"].format(
                chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
            )
            yield EpisodeFiles(int(row["episode_index"]), int(row["length"]), data, videos)


def read_tasks(root: Path, info: Mapping[str, Any]) -> dict[int, str]:
    """Every instruction by its number.

    Raises:
        SdiwmError: the list is missing or damaged.
    """
    if READ[info["codebase_version"]] == V21:
        rows = list(read_json_lines(root / "meta/tasks.jsonl"))
    else:
        rows = read_table(root / "meta/tasks.parquet").to_pylist()
    try:
        # pandas calls an index without a name __index_level_0__
        return {
            int(row["task_index"]): str(row.get("task", row.get("__index_level_0__", "")))
            for row in rows
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SdiwmError(f"{root}: the list of tasks is damaged ({error!r}); {REMEDY}") from None


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines; SdiwmError where it is missing or damaged."""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                yield dict(json.loads(line))
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing; {REMEDY}") from None
    except (ValueError, TypeError) as error:
        raise SdiwmError(f"{path} is damaged ({error}); {REMEDY}") from None


def read_table(path: Path, without: str = "", **options: Any) -> Any:
    """A `pyarrow.Table` of all columns but those whose name begins with `without`.

    Args:
        options: passed on to `pyarrow.parquet.read_table`.

    Raises:
        SdiwmError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise SdiwmError(f"{path} is missing; {REMEDY}")
    try:
        if without:
            names = pq.read_schema(path).names
            options["columns"] = [name for name in names if not name.startswith(without)]
        return pq.read_table(path, partitioning=None, use_threads=False, **options)
    except (pa.ArrowException, OSError) as error:
        raise SdiwmError(f"{path} is damaged ({error}); {REMEDY}") from None
