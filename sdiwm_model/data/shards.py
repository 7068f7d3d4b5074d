"""Episode shards: Parquet files that numpy reads at the disk's speed, and their manifest.

One episode is one row group; its arrays are raw little-endian bytes in `large_binary` columns
without compression or dictionary, because Parquet stores a uint8 tensor as INT32 (four times the
disk, a hundred times slower). The schema's metadata carries dtype and shape of each column. The
manifest names every shard with its SHA-256 and carries a checksum of its own, so that one flipped
byte anywhere is found.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path, json_text, read_json_object, sha256_of_file, write_json

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
REMEDY = "collect the data again or copy the folder again from its source"


class ShardWriter:
    """Writes episodes into a folder; the manifest, written last, makes the folder valid.

    A folder that already holds a manifest is refused. If the `with` block fails, everything that
    this writer wrote is removed.
    """

    def __init__(
        self,
        folder: Path | str,
        spec: EpisodeSpec,
        provenance: Mapping[str, Any],
        episodes_per_shard: int = 64,
    ) -> None:
        self.folder = Path(folder)
        self.spec = spec
        self.provenance = dict(provenance)
        self.episodes_per_shard = episodes_per_shard
        self._schema = _schema(spec)
        self._pending: list[pa.Table] = []
        self._shards: list[dict[str, Any]] = []
        self._behaviours: Counter[str] = Counter()
        self._failures: list[str] = []

    def __enter__(self) -> Self:
        if (self.folder / MANIFEST).exists():
            raise SdiwmError(
                f"{self.folder} already holds episodes; name another folder or remove this one"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, episode: Episode) -> None:
        """Add one episode; SdiwmError if it does not fit the spec."""
        episode.check(self.spec)
        row: dict[str, list[Any]] = {
            name: [np.ascontiguousarray(getattr(episode, name)).tobytes()]
            for name in self.spec.columns()
        }
        row |= {
            "instruction": [episode.instruction],
            "goal": [int(episode.goal)],
            "behaviour": [episode.behaviour],
            "seed": [int(episode.seed)],
            "length": [len(episode)],
        }
        self._pending.append(pa.table(row, schema=self._schema))
        self._behaviours[episode.behaviour] += 1
        if len(self._pending) == self.episodes_per_shard:
            self._flush()

    def record_failure(self, reason: str) -> None:
        """Note in the manifest an episode that could not be collected."""
        self._failures.append(reason)

    def _flush(self) -> None:
        path = self.folder / f"shard-{len(self._shards):05d}.parquet"
        with atomic_path(path) as temporary:
            with pq.ParquetWriter(
                temporary,
                self._schema,
                compression="NONE",
                use_dictionary=False,
                write_statistics=False,
                store_schema=True,
            ) as writer:
                for table in self._pending:
                    writer.write_table(table)
            digest = sha256_of_file(temporary)
        self._shards.append(
            {
                "file": path.name,
                "sha256": digest,
                "bytes": path.stat().st_size,
                "lengths": [table["length"][0].as_py() for table in self._pending],
            }
        )
        self._pending.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        completed = False
        try:
            if kind is None:
                if self._pending:
                    self._flush()
                write_json(self.folder / MANIFEST, _with_checksum(self._manifest()))
                completed = True
        finally:
            if not completed:
                for shard in self._shards:
                    (self.folder / shard["file"]).unlink(missing_ok=True)

    def _manifest(self) -> dict[str, Any]:
        lengths = [length for shard in self._shards for length in shard["lengths"]]
        spec = asdict(self.spec)
        return {
            "format_version": FORMAT_VERSION,
            "task": spec.pop("task"),
            "spec": spec,
            "episodes": len(lengths),
            "frames": sum(lengths),
            "behaviours": dict(sorted(self._behaviours.items())),
            "failures": self._failures,
            "provenance": self.provenance,
            "shards": self._shards,
        }


class ShardReader:
    """Reads the episodes of one or more folders, in the order of folders and manifests.

    Each shard's SHA-256 is compared when it is first opened; SdiwmError names a damaged one.
    All folders must share shapes; `task` is the first folder's.
    """

    def __init__(self, folders: Path | str | Sequence[Path | str]) -> None:
        paths = [folders] if isinstance(folders, (str, Path)) else list(folders)
        if not paths:
            raise SdiwmError("no data folder was named; name at least one that `collect` wrote")
        self._index: list[tuple[Path, str, int]] = []
        self.lengths: list[int] = []
        self.manifests = [read_manifest(path) for path in paths]
        self.spec = _spec(self.manifests[0])
        self.task: dict[str, Any] = self.manifests[0]["task"]
        for folder, manifest in zip(map(Path, paths), self.manifests, strict=True):
            if _spec(manifest).columns() != self.spec.columns():
                raise SdiwmError(f"{folder} has other shapes than {paths[0]}; read them separately")
            for shard in manifest["shards"]:
                for row, length in enumerate(shard["lengths"]):
                    self._index.append((folder / shard["file"], shard["sha256"], row))
                    self.lengths.append(length)
        self._open: tuple[Path, pq.ParquetFile] | None = None
        self._verified: set[Path] = set()

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self._index)

    def read(self, index: int) -> Episode:
        """Return episode `index`; its arrays are its own and may be written to."""
        path, digest, row = self._index[index]
        with _damage_named(path):
            file = self._file(path, digest)
            columns = file.read_row_group(row, use_threads=False).to_pydict()
            return self._episode({name: values[0] for name, values in columns.items()})

    def episodes(self) -> Iterator[Episode]:
        """Yield all episodes in order."""
        for index in range(len(self)):
            yield self.read(index)

    def path_of(self, index: int) -> Path:
        """Return the shard that holds episode `index`."""
        return self._index[index][0]

    def _file(self, path: Path, digest: str) -> pq.ParquetFile:
        if self._open is None or self._open[0] != path:
            if path not in self._verified:
                _check_digest(path, digest)
                self._verified.add(path)
            if self._open is not None:
                self._open[1].close()
            self._open = (path, pq.ParquetFile(path))
        return self._open[1]

    def _episode(self, row: dict[str, Any]) -> Episode:
        arrays: dict[str, Any] = {
            name: np.frombuffer(row.pop(name), dtype).reshape(row["length"], *shape).copy()
            for name, (dtype, shape) in self.spec.columns().items()
        }
        row.pop("length")
        return Episode(**arrays, **row)


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Return a folder's manifest; SdiwmError if it is missing, damaged or of another version."""
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise SdiwmError(f"data folder {folder} does not exist; write one with `sdiwm collect`")
    manifest = read_json_object(path, REMEDY)
    as_written = json_text(_with_checksum(manifest))
    if path.read_text(encoding="utf-8") != as_written:
        raise SdiwmError(
            f"{path} is damaged or was edited (its checksum or layout differs); {REMEDY}"
        )
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise SdiwmError(
            f"{path} has format_version {version!r}, this program reads {FORMAT_VERSION}; "
            "install the sdiwm that wrote it or collect the data again"
        )
    return manifest


def verify(folder: Path | str) -> dict[str, Any]:
    """Read every byte and every episode of a folder; return its manifest.

    Raises SdiwmError, naming the first file that is missing, damaged or not what the manifest says.
    """
    manifest = read_manifest(folder)
    reader = ShardReader(folder)
    for index, episode in enumerate(reader.episodes()):
        path = reader.path_of(index)
        with _damage_named(path):
            episode.check(reader.spec)
    known = {shard["file"] for shard in manifest["shards"]}
    for stray in sorted(Path(folder).glob("*.parquet")):
        if stray.name not in known:
            raise SdiwmError(f"{stray} is not in the manifest beside it; remove the file")
    return manifest


def _schema(spec: EpisodeSpec) -> pa.Schema:
    described = {
        name: {"dtype": dtype, "shape": list(shape)}
        for name, (dtype, shape) in spec.columns().items()
    }
    return pa.schema(
        [
            *(pa.field(name, pa.large_binary(), nullable=False) for name in described),
            pa.field("instruction", pa.string(), nullable=False),
            pa.field("goal", pa.int32(), nullable=False),
            pa.field("behaviour", pa.string(), nullable=False),
            pa.field("seed", pa.int64(), nullable=False),
            pa.field("length", pa.int32(), nullable=False),
        ],
        metadata={"sdiwm.columns": json.dumps(described)},
    )


def _spec(manifest: Mapping[str, Any]) -> EpisodeSpec:
    values = dict(manifest["spec"], task=manifest["task"])
    values["image"] = tuple(values["image"])
    return EpisodeSpec(**values)


def _with_checksum(manifest: Mapping[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return {**body, "checksum": hashlib.sha256(canonical).hexdigest()}


def _check_digest(path: Path, digest: str) -> None:
    if not path.is_file():
        raise SdiwmError(f"shard {path} is missing; {REMEDY}")
    if sha256_of_file(path) != digest:
        raise SdiwmError(f"shard {path} is damaged (its SHA-256 differs); {REMEDY}")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except SdiwmError as error:
        if str(path) in str(error):
            raise
        raise SdiwmError(f"shard {path}: {error}; {REMEDY}") from None
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise SdiwmError(f"shard {path} cannot be read ({error}); {REMEDY}") from None
