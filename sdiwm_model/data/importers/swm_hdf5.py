"""stable-worldmodel's HDF5 files: one dataset a column, all episodes behind each other.

`ep_len` and `ep_offset` say where each episode's rows are; text columns hold a string a row. As in
their files, the action of a row is the one chosen there, and the last one of an episode is unused
(NaN in theirs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.importers.column_settings import Roles, read_column_settings
from sdiwm_model.data.importers.columns import Column, ColumnRecording, Table
from sdiwm_model.data.importers.our_facts import facts_from_json, facts_to_json
from sdiwm_model.data.importers.protocols import ExportOptions, ImportOptions
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path

if TYPE_CHECKING:
    from sdiwm_model.data.episodes import EpisodeSpec
    from sdiwm_model.data.shards import ShardReader

SUFFIXES = (".h5", ".hdf5")
INDEX = ("ep_len", "ep_offset")
OURS = "sdiwm"  # the file's attribute that holds what the columns do not say
VECTORS = {"proprio": "proprio", "action": "action", "goal_cost": "goal_cost", "state": "state"}
TEXTS = ("instruction", "behaviour")
NUMBERS = ("goal", "seed")
VECTOR_ROWS = 256  # of a chunk; pictures have one, as theirs


class SwmHdf5Format:
    """See `protocols.Format`."""

    description = "a .h5 or .hdf5 file with ep_len and ep_offset"

    def detects(self, source: Path) -> bool:
        import h5py

        if not source.is_file() or source.suffix not in SUFFIXES:
            return False
        try:
            with h5py.File(source) as file:
                return all(name in file for name in INDEX)
        except OSError:  # damaged: `open` says how
            return True

    def open(self, source: Path, options: ImportOptions) -> ColumnRecording:
        settings = read_column_settings(options.config)
        return ColumnRecording(source, SwmHdf5Source(source), settings)

    def write(self, reader: ShardReader, out: Path, options: ExportOptions) -> list[str]:
        import h5py

        if out.suffix not in SUFFIXES:
            raise SdiwmError(f"{out} is to be an HDF5 file: end its name in .h5")
        with atomic_path(out) as temporary, h5py.File(temporary, "w", libver="latest") as file:
            file.attrs[OURS] = facts_to_json(reader.spec)
            _create(file, reader.spec, sum(reader.lengths))
            offset = 0
            for index, length in enumerate(reader.lengths):
                episode = reader.read(index)
                rows = slice(offset, offset + length)
                file["pixels"][rows] = episode.frames
                for field, name in VECTORS.items():
                    if name in file:
                        file[name][rows] = getattr(episode, field)
                for name in (*TEXTS, *NUMBERS):
                    file[name][rows] = getattr(episode, name)
                offset += length
            lengths = np.array(reader.lengths, np.int32)
            file.create_dataset("ep_len", data=lengths, maxshape=(None,))
            offsets = np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)])
            file.create_dataset("ep_offset", data=offsets.astype(np.int64), maxshape=(None,))
        return []


def _create(file: Any, spec: EpisodeSpec, steps: int) -> None:
    """Empty columns of as many rows as there are steps; what has no width is left out."""
    import h5py

    for field, (dtype, shape) in spec.columns().items():
        if 0 not in shape:
            name = "pixels" if field == "frames" else VECTORS[field]
            rows = 1 if field == "frames" else VECTOR_ROWS
            file.create_dataset(
                name, (steps, *shape), dtype, chunks=(rows, *shape), maxshape=(None, *shape)
            )
    for name in TEXTS:
        file.create_dataset(
            name, (steps,), h5py.string_dtype(), chunks=(VECTOR_ROWS,), maxshape=(None,)
        )
    for name in NUMBERS:
        file.create_dataset(name, (steps,), np.int64, chunks=(VECTOR_ROWS,), maxshape=(None,))


class SwmHdf5Source:
    """See `columns.ColumnSource`."""

    dt: float | None = None  # the format does not tell

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as file:
            lacking = [name for name in INDEX if name not in file]
            if lacking:
                raise SdiwmError(f"{path} has no '{lacking[0]}', so it tells no episodes apart")
            self._lengths: NDArray[np.int64] = file["ep_len"][:].astype(np.int64)
            self._offsets: NDArray[np.int64] = file["ep_offset"][:].astype(np.int64)
            if len(self._lengths) != len(self._offsets):
                raise SdiwmError(f"{path}: ep_len and ep_offset have not the same length")
            self.columns = _columns(file)
            self._texts = [each for each in TEXTS if each in file and each not in self.columns]
            self.ours: Mapping[str, Any] | None = None
            if OURS in file.attrs:
                self.ours = facts_from_json(str(file.attrs[OURS]), path)
        self.roles = self._conventional_roles()

    def __len__(self) -> int:
        return len(self._lengths)

    def instructions(self) -> Sequence[str]:
        if "instruction" not in self._texts:
            return []
        with _opened(self._path) as file:
            firsts = [int(each) for each in self._offsets if each < len(file["instruction"])]
            told = [file["instruction"][each].decode() for each in firsts]
        return list(dict.fromkeys(told))

    def _conventional_roles(self) -> Roles:
        def there(*names: str) -> tuple[str, ...]:
            return tuple(name for name in names if name in self.columns)

        return Roles(
            camera="pixels" if "pixels" in self.columns else "",
            proprio=there("proprio") or there("observation"),
            action=there("action"),
            state=there("state"),
            goal_cost=there("goal_cost"),
        )

    def read(self, index: int, names: Sequence[str]) -> Table:
        begin, end = int(self._offsets[index]), int(self._offsets[index] + self._lengths[index])
        with _opened(self._path) as file:
            table = Table({name: self._rows(file[name], begin, end) for name in names})
            for name in self._texts:
                text = self._rows(file[name], begin, end)[:1]
                setattr(table, name, text[0].decode() if len(text) else "")
            if self.ours is not None:
                table.goal = int(self._rows(file["goal"], begin, end)[0])
                table.seed = int(self._rows(file["seed"], begin, end)[0])
        return table

    def _rows(self, column: Any, begin: int, end: int) -> NDArray[Any]:
        if not 0 <= begin < end <= len(column):
            raise SdiwmError(
                f"rows {begin} to {end} are not in column '{column.name[1:]}' of {len(column)} rows"
            )
        rows: NDArray[Any] = column[begin:end]
        return rows


def _columns(file: Any) -> dict[str, Column]:
    """The numeric columns."""
    return {
        name: Column(str(each.dtype), tuple(each.shape[1:]))
        for name, each in file.items()
        if name not in INDEX and each.dtype.kind in "biuf" and each.shape
    }


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened for reading.

    Raises:
        SdiwmError: it is no HDF5 file, damaged, or packed with a filter that is not installed; also
            what goes wrong while it is read.
    """
    import h5py

    with suppress(ImportError):
        import hdf5plugin  # noqa: F401  # the filters of files that were packed
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError) as error:
        remedy = "; `pip install hdf5plugin`" if "filter" in str(error) else ""
        raise SdiwmError(f"{path} cannot be read: {error}{remedy}") from None


FORMAT = SwmHdf5Format()
