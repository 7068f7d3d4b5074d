"""Whole data sets in memory: the robot's data fits, and random access there costs nothing."""

from collections.abc import Sequence
from pathlib import Path

from sdiwm_model.data.episodes import Episode
from sdiwm_model.data.shards import ShardReader


def load_episodes(folders: Path | str | Sequence[Path | str]) -> list[Episode]:
    """Return all episodes of one or more data folders in order; every shard's hash is checked."""
    return list(ShardReader(folders).episodes())
