"""Minari data sets, which hold Gymnasium rollouts, in HDF5: a group an episode.

An episode of theirs has one observation more than actions; ours has as many rows as observations,
and its last action is unused. Rewards are read as the column `next.reward`. Pictures are JPEG
unless the set was recorded without; ours never are.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.importers.column_settings import Roles, read_column_settings
from sdiwm_model.data.importers.columns import Column, ColumnRecording, Table
from sdiwm_model.data.importers.our_facts import facts_from_json, our_facts
from sdiwm_model.data.importers.protocols import ExportOptions, ImportOptions
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_folder, read_json_object, write_json

if TYPE_CHECKING:
    from sdiwm_model.data.episodes import Episode, EpisodeSpec
    from sdiwm_model.data.shards import ShardReader

FILE, METADATA = "main_data.hdf5", "metadata.json"
MINARI_VERSION = "0.5.3"  # whose layout is written
REMEDY = "copy the data set again from its source"
OURS = "sdiwm"  # the key in the metadata that holds what the columns do not say
ACTION, REWARD, PICTURE = "actions", "next.reward", "observations.image"
VECTORS = {
    "proprio": "observations.proprio",
    "goal_cost": "observations.goal_cost",
    "state": "observations.state",
}
SENTENCES = ("observations.instruction", "observations.mission")
JPEG = b"\xff\xd8\xff"


class MinariFormat:
    """See `protocols.Format`."""

    description = "a folder with data/main_data.hdf5 and data/metadata.json"

    def detects(self, source: Path) -> bool:
        return any((folder / METADATA).is_file() for folder in (source, source / "data"))

    def open(self, source: Path, options: ImportOptions) -> ColumnRecording:
        settings = read_column_settings(options.config)
        return ColumnRecording(source, MinariSource(source), settings)

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        import h5py

        spec = reader.spec
        if not spec.action:
            raise SdiwmError(
                "a Minari data set has actions, these episodes have none; use swm-hdf5"
            )
        if min(reader.lengths) < 2:
            raise SdiwmError("a Minari episode has an action, but one of these has one step only")
        with atomic_folder(out) as folder:
            (folder / "data").mkdir()
            with h5py.File(folder / "data" / FILE, "w", track_order=True) as file:
                for index in range(len(reader)):
                    _write_episode(file.create_group(f"episode_{index}"), index, reader.read(index))
            steps = sum(reader.lengths) - len(reader)
            size = (folder / "data" / FILE).stat().st_size
            facts = _metadata(out.name, spec, len(reader), steps, size)
            write_json(folder / "data" / METADATA, facts)
        return []


def _write_episode(group: Any, index: int, episode: Episode) -> None:
    steps = len(episode) - 1
    group.attrs.update(
        {
            "id": index,
            "seed": episode.seed,
            "total_steps": steps,
            "instruction": episode.instruction,
            "behaviour": episode.behaviour,
            "goal": episode.goal,
            "last_action": episode.action[-1],
        }
    )
    group.create_dataset(PICTURE.replace(".", "/"), data=episode.frames)
    for field, name in VECTORS.items():
        values = getattr(episode, field)
        if values.shape[1]:
            group.create_dataset(name.replace(".", "/"), data=values)
    group.create_dataset("actions", data=episode.action[:-1])
    rewards = np.zeros(steps) if episode.goal < 0 else -episode.goal_cost[1:, episode.goal]
    group.create_dataset("rewards", data=rewards.astype(np.float64))
    group.create_dataset("terminations", data=np.zeros(steps, bool))
    group.create_dataset("truncations", data=np.arange(steps) == steps - 1)
    group.create_group("infos")


def _metadata(name: str, spec: EpisodeSpec, episodes: int, steps: int, size: int) -> dict[str, Any]:
    """What Minari reads; a data set's name ends in its version."""
    name = re.sub(r"[^\w-]", "_", name)
    boxes = {"image": _box("uint8", spec.image, 0, 255)}
    for field, column in VECTORS.items():
        (width,) = spec.columns()[field][1]
        if width:
            limit = float(np.finfo(np.float32).max)
            boxes[column.partition(".")[2]] = _box("float32", (width,), -limit, limit)
    return {
        "dataset_id": name if re.search(r"-v\d+$", name) else f"{name}-v0",
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "minari_version": MINARI_VERSION,
        "total_episodes": episodes,
        "total_steps": steps,
        "dataset_size": round(size / 1e6, 1),
        "observation_space": json.dumps({"type": "Dict", "subspaces": boxes}),
        "action_space": json.dumps(_box("float32", (spec.action,), -1.0, 1.0)),
        OURS: our_facts(spec),
    }


def _box(dtype: str, shape: tuple[int, ...], low: float, high: float) -> dict[str, Any]:
    return {
        "type": "Box",
        "dtype": dtype,
        "shape": list(shape),
        "low": np.full(shape, low, dtype).tolist(),
        "high": np.full(shape, high, dtype).tolist(),
    }


class MinariSource:
    """See `columns.ColumnSource`."""

    dt: float | None = None  # the format does not tell

    def __init__(self, root: Path) -> None:
        folder = root if (root / METADATA).is_file() else root / "data"
        self._path = folder / FILE
        metadata = read_json_object(folder / METADATA, REMEDY)
        if (stored := metadata.get("data_format", "hdf5")) != "hdf5":
            raise SdiwmError(f"{root} is stored as '{stored}'; only Minari's hdf5 is read")
        self._groups = self._names(metadata.get("total_episodes"))
        with _opened(self._path) as file:
            leaves = dict(_leaves(file[self._groups[0]]))
            self.columns = {
                name: column
                for name, leaf in leaves.items()
                if (column := _column(leaf)) is not None
            }
            self._sentence = next((name for name in SENTENCES if name in leaves), "")
        self.ours: Mapping[str, Any] | None = None
        if OURS in metadata:
            self.ours = facts_from_json(json.dumps(metadata[OURS]), folder / METADATA)
        self.roles = self._our_roles() if self.ours else self._conventional_roles()

    def _names(self, told: object) -> list[str]:
        """The episodes' groups in order."""
        with _opened(self._path) as file:
            numbers = [int(name[8:]) for name in file if re.fullmatch(r"episode_\d+", name)]
        if not numbers or (isinstance(told, int) and told != len(numbers)):
            raise SdiwmError(f"{self._path} holds {len(numbers)} of {told} episodes; {REMEDY}")
        return [f"episode_{number}" for number in sorted(numbers)]

    def _our_roles(self) -> Roles:
        there = {name: (column,) for name, column in VECTORS.items() if column in self.columns}
        return Roles(camera=PICTURE, action=(ACTION,), **there)  # type: ignore[arg-type]

    def _conventional_roles(self) -> Roles:
        observed = tuple(
            name
            for name, column in self.columns.items()
            if name.startswith("observations") and len(column.shape) <= 1
        )
        return Roles(proprio=observed, action=(ACTION,))

    def __len__(self) -> int:
        return len(self._groups)

    def instructions(self) -> Sequence[str]:
        with _opened(self._path) as file:
            told = [self._told(file[name]) for name in self._groups]
        return list(dict.fromkeys(told))

    def _told(self, group: Any) -> str:
        if "instruction" in group.attrs:
            return str(group.attrs["instruction"])
        return group[self._sentence.replace(".", "/")][0].decode() if self._sentence else ""

    def read(self, index: int, names: Sequence[str]) -> Table:
        with _opened(self._path) as file:
            group = file[self._groups[index]]
            steps = len(group["rewards"])
            if not steps:
                raise SdiwmError("it has no step")
            leaves = dict(_leaves(group))
            table = Table(
                {name: _rows(leaves[name], name, steps) for name in names},
                instruction=self._told(group),
                seed=int(group.attrs.get("seed", -1)),
            )
            if self.ours is not None:
                table.goal = int(group.attrs["goal"])
                table.behaviour = str(group.attrs["behaviour"])
                table.columns[ACTION][-1] = group.attrs["last_action"]
        return table


def _leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Observations, actions and rewards of an episode by our names."""
    for name, each in group.items():
        if not prefix and name not in ("observations", "actions", "rewards"):
            continue
        inner = f"{prefix}{name}"
        if hasattr(each, "items"):
            yield from _leaves(each, f"{inner}.")
        else:
            yield REWARD if inner == "rewards" else inner, each


def _column(leaf: Any) -> Column | None:
    """What a leaf is; None for text."""
    if _is_jpeg(leaf):
        return Column("uint8", _decoded(leaf[0]).shape)
    if leaf.dtype.kind not in "biuf":
        return None
    return Column(str(leaf.dtype), tuple(leaf.shape[1:]))


def _is_jpeg(leaf: Any) -> bool:
    """Whether each row is the bytes of a picture, padded or of any length."""
    if not len(leaf) or (leaf.dtype != np.uint8 or leaf.ndim != 2) and leaf.dtype.kind != "O":
        return False
    first = leaf[0]
    return isinstance(first, np.ndarray) and first[:3].tobytes() == JPEG


def _decoded(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data.tobytes())) as picture:
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise SdiwmError(f"a picture cannot be decoded: {error}") from None


def _rows(leaf: Any, name: str, steps: int) -> NDArray[Any]:
    """A leaf as `steps` + 1 rows."""
    values = np.stack([_decoded(each) for each in leaf]) if _is_jpeg(leaf) else leaf[:]
    observed = name.startswith("observations")
    if len(values) != steps + observed:
        raise SdiwmError(f"{name} has {len(values)} rows, expected {steps + observed}")
    if observed:
        return np.asarray(values)
    unused = values[-1:] if name == REWARD else np.zeros_like(values[:1])
    return np.concatenate([values, unused])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened for reading.

    Raises:
        SdiwmError: it is missing, no HDF5 file or damaged; also what goes wrong while it is read.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError) as error:
        raise SdiwmError(f"{path} cannot be read: {error}") from None


FORMAT = MinariFormat()
