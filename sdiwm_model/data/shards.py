"""Folders of episodes: shards (see `shard_file`) and the manifest that names each with its hash."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.frame_codec import ENCODINGS
from sdiwm_model.data.journal import Journal
from sdiwm_model.data.manifest import MANIFEST, REMEDY, read_manifest, spec_of, write_manifest
from sdiwm_model.data.shard_file import ShardFile, check_digest, damage_named, episode_of, row_of
from sdiwm_model.errors import SdiwmError

__all__ = ["MANIFEST", "REMEDY", "ShardReader", "ShardWriter", "read_manifest"]

BYTES_PER_SHARD = 2_000_000_000


class ShardWriter:
    """Writes episodes into a folder; the manifest, written last, makes the folder valid.

    A folder that already holds a manifest is refused. If the `with` block fails, everything that
    this writer wrote is removed; not so when it is `resumable`: then finished shards stay, even
    after a kill, and the next writer of the same spec and provenance goes on behind them. It tells
    by `place` which events (episodes and failures) it has already; they must come in the same order
    again, without those.

    Args:
        provenance: where the data comes from. `command` may differ when an import goes on.
        episodes_per_shard, bytes_per_shard: a shard is finished before it would exceed either.
    """

    def __init__(
        self,
        folder: Path | str,
        spec: EpisodeSpec,
        provenance: Mapping[str, Any],
        episodes_per_shard: int = 64,
        bytes_per_shard: int = BYTES_PER_SHARD,
        resumable: bool = False,
    ) -> None:
        if spec.encoding not in ENCODINGS:
            raise SdiwmError(f"encoding is '{spec.encoding}'; use one of {', '.join(ENCODINGS)}")
        self.folder = Path(folder)
        self.spec = spec
        self._bounds = (episodes_per_shard, bytes_per_shard)
        self._provenance = dict(provenance)
        self._resumable = resumable
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._current: ShardFile | None = None
        self._finished: list[dict[str, Any]] = []
        self._begin_entry()
        self.place: Any = None

    def _begin_entry(self) -> None:
        """What the next shard's entry will say."""
        self._behaviours: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._failures: list[str] = []
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        if (self.folder / MANIFEST).exists():
            raise SdiwmError(
                f"{self.folder} already holds episodes; name another folder or remove this one"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._resumable:
            own = {key: value for key, value in self._provenance.items() if key != "command"}
            plan = {
                "spec": asdict(self.spec),
                "bounds": self._bounds,
                "sources": own,
                "command": self._provenance.get("command"),
            }
            journal = Journal(self.folder, plan, compared=("spec", "bounds", "sources"))
            self._journal = self._stack.enter_context(journal)
            self._finished = journal.entries
            if journal.plan["command"] is not None:
                self._provenance["command"] = journal.plan["command"]
            if journal.entries:
                self.place = journal.entries[-1]["place"]
        return self

    @property
    def episodes(self) -> int:
        """How many episodes there are so far, those of an import that went on included."""
        pending = len(self._current.lengths) if self._current else 0
        return pending + sum(len(entry["shard"]["lengths"]) for entry in self._finished)

    def write(self, episode: Episode, place: Any = None) -> None:
        """Add one episode; SdiwmError if it does not fit the spec, or the disk is full.

        place: JSON-able, of this event among all; see the class.
        """
        episode.check(self.spec)
        row = row_of(episode, self.spec)
        shard = self._current
        if shard and (
            len(shard.lengths) >= self._bounds[0] or shard.bytes + row.nbytes > self._bounds[1]
        ):
            self._finish_shard()
        if self._current is None:
            name = f"shard-{len(self._finished):05d}.parquet"
            self._current = ShardFile(self.folder / name, self.spec)
        self._current.write(row)
        self._behaviours[episode.behaviour] += 1
        self.place = place

    def record_failure(self, reason: str, place: Any = None) -> None:
        """Note in the manifest, naming the source, what could not be collected or imported."""
        self._failures.append(reason)
        self.place = place

    def record_source(
        self, kind: str, failures: Sequence[str], notes: Sequence[str], place: Any = None
    ) -> None:
        """Count a source that is done by what became of it, with reasons and with what is unusual.

        kind: "whole", "in part" or "lost"; failures and notes name the source.
        """
        self._sources[kind] += 1
        self._failures += failures
        self._notes += notes
        self.place = place

    @property
    def failures(self) -> list[str]:
        """Every reason so far, those of an import that went on included."""
        return [reason for entry in self._finished for reason in entry["failures"]] + self._failures

    def _finish_shard(self) -> None:
        assert self._current is not None
        entry = {"shard": self._current.finish(), **self._counts(), "place": self.place}
        self._current = None
        self._begin_entry()
        if self._journal is not None:
            self._journal.finish(entry)
        else:
            self._finished.append(entry)

    def _counts(self) -> dict[str, Any]:
        return {
            "behaviours": dict(sorted(self._behaviours.items())),
            "sources": dict(sorted(self._sources.items())),
            "failures": self._failures,
            "notes": self._notes,
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        completed = False
        try:
            if kind is None:
                if self._current is not None:
                    self._finish_shard()
                write_manifest(self.folder, self._manifest())
                completed = True
        finally:
            if not completed:
                self._let_go()
            if self._journal is not None and (completed or not self._finished):
                self._journal.remove()
            self._stack.close()

    def _let_go(self) -> None:
        """Remove what is unfinished; all of it, unless the next run can go on."""
        if self._current is not None:
            self._current.discard()
        if self._journal is None:
            for entry in self._finished:
                (self.folder / entry["shard"]["file"]).unlink(missing_ok=True)

    def _manifest(self) -> dict[str, Any]:
        entries = [*self._finished, self._counts()]
        behaviours: Counter[str] = Counter()
        sources: Counter[str] = Counter()
        for entry in entries:
            behaviours.update(entry["behaviours"])
            sources.update(entry["sources"])
        lengths = [length for entry in self._finished for length in entry["shard"]["lengths"]]
        spec = asdict(self.spec)
        return {
            "task": spec.pop("task"),
            "spec": spec,
            "episodes": len(lengths),
            "frames": sum(lengths),
            "behaviours": dict(sorted(behaviours.items())),
            "sources": dict(sorted(sources.items())),
            "failures": self.failures,
            "notes": [note for entry in entries for note in entry["notes"]],
            "provenance": self._provenance,
            "shards": [entry["shard"] for entry in self._finished],
        }


class ShardReader:
    """Reads the episodes of one or more folders, in the order of folders and manifests.

    Each shard's SHA-256 is compared when it is first opened; SdiwmError names a damaged one.
    Without `whole_shards` only the checksums of what is read are: for a look at a few episodes of
    large shards. All folders must share shapes; `task` is the first folder's.
    """

    def __init__(
        self, folders: Path | str | Sequence[Path | str], whole_shards: bool = True
    ) -> None:
        self._whole_shards = whole_shards
        paths = [folders] if isinstance(folders, (str, Path)) else list(folders)
        if not paths:
            raise SdiwmError("no data folder was named; name at least one that `collect` wrote")
        self._index: list[tuple[Path, str, int]] = []
        self.lengths: list[int] = []
        self.manifests = [read_manifest(path) for path in paths]
        self.spec = spec_of(self.manifests[0])
        self.task: dict[str, Any] = self.manifests[0]["task"]
        for folder, manifest in zip(map(Path, paths), self.manifests, strict=True):
            spec = spec_of(manifest)
            if (spec.columns(), spec.encoding) != (self.spec.columns(), self.spec.encoding):
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
        with damage_named(path):
            file = self._file(path, digest)
            columns = file.read_row_group(row, use_threads=False).to_pydict()
            return episode_of({name: values[0] for name, values in columns.items()}, self.spec)

    def episodes(self) -> Iterator[Episode]:
        """Yield all episodes in order."""
        for index in range(len(self)):
            yield self.read(index)

    def path_of(self, index: int) -> Path:
        """Return the shard that holds episode `index`."""
        return self._index[index][0]

    def _file(self, path: Path, digest: str) -> pq.ParquetFile:
        if self._open is None or self._open[0] != path:
            if self._whole_shards and path not in self._verified:
                check_digest(path, digest)
                self._verified.add(path)
            if self._open is not None:
                self._open[1].close()
            self._open = (path, pq.ParquetFile(path, page_checksum_verification=True))
        return self._open[1]
