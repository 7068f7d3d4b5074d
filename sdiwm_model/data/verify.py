"""Whether every byte of a folder of episodes is as it was written; if not, what is hurt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.data.manifest import read_manifest, spec_of
from sdiwm_model.data.shard_file import check_digest, damage_named, episode_of
from sdiwm_model.errors import SdiwmError


def verify(folder: Path | str) -> dict[str, Any]:
    """Read every byte and every episode of a folder; return its manifest.

    Raises:
        SdiwmError: naming every file that is missing, damaged or not what the manifest says, and
            the episodes in it that cannot be read.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    problems = []
    total = sum(shard["bytes"] for shard in manifest["shards"])
    with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:
        for shard in manifest["shards"]:
            try:
                _verify_shard(folder / shard["file"], shard, spec_of(manifest))
            except SdiwmError as error:
                problems.append(str(error))
            bar.update(shard["bytes"])
    sound = len(manifest["shards"]) - len(problems)
    known = {shard["file"] for shard in manifest["shards"]}
    for stray in sorted(folder.glob("*.parquet")):
        if stray.name not in known:
            problems.append(f"{stray} is not in the manifest beside it; remove the file")
    if problems:
        told = f"; {sound} of {len(known)} shards are sound" if len(problems) > 1 else ""
        raise SdiwmError("\n".join(problems) + told)
    return manifest


def _verify_shard(path: Path, shard: Mapping[str, Any], spec: EpisodeSpec) -> None:
    try:
        check_digest(path, shard["sha256"])
    except SdiwmError as error:
        hurt = _hurt_episodes(path) if path.is_file() else ""
        raise SdiwmError(f"{error}{hurt}") from None
    with damage_named(path), pq.ParquetFile(path) as file:
        if file.num_row_groups != len(shard["lengths"]):
            raise SdiwmError(
                f"it has {file.num_row_groups} episodes, the manifest {len(shard['lengths'])}"
            )
        for row, length in enumerate(shard["lengths"]):
            columns = file.read_row_group(row, use_threads=False).to_pydict()
            episode = episode_of({name: values[0] for name, values in columns.items()}, spec)
            episode.check(spec)
            if len(episode) != length:
                raise SdiwmError(f"episode {row} has {len(episode)} steps, the manifest {length}")


def _hurt_episodes(path: Path) -> str:
    """What a damaged shard's own page checksums tell, said after the damage itself."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            hurt = [str(row) for row in range(file.num_row_groups) if not _sound(file, row)]
            total = file.num_row_groups
    except (pa.ArrowException, OSError, ValueError):
        return "; its table of contents is hurt, so none of its episodes can be read"
    if not hurt:
        return "; its episodes are sound, the damage lies between them"
    listed = ", ".join(hurt[:10]) + (", ..." if len(hurt) > 10 else "")
    return f"; hurt are {len(hurt)} of its {total} episodes: {listed}"


def _sound(file: pq.ParquetFile, row: int) -> bool:
    try:
        file.read_row_group(row, use_threads=False)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True
