"""The statistics that LeRobot keeps of every feature, of each episode and of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
PICTURES = 100  # of an episode at most, evenly spaced, are looked at
Stats = dict[str, NDArray[Any]]


def episode_stats(columns: Mapping[str, NDArray[Any]]) -> dict[str, Stats]:
    """Of each column (T, …): vectors give (width,), pictures (3, 1, 1) in [0, 1]."""
    return {name: _stats(values) for name, values in columns.items()}


def _stats(values: NDArray[Any]) -> Stats:
    if values.ndim == 4:
        every = -(-len(values) // PICTURES)
        seen = values[::every]
        flat = _spread(seen.reshape(-1, 3) / 255.0)
        shaped = {name: each.reshape(3, 1, 1) for name, each in flat.items()}
        return shaped | {"count": np.array([len(seen)])}
    return _spread(values.reshape(len(values), -1).astype(np.float64)) | {
        "count": np.array([len(values)])
    }


def _spread(rows: NDArray[Any]) -> Stats:
    found = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
    }
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return found | dict(zip(QUANTILES, quantiles, strict=True))


def all_stats(episodes: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Of all episodes together, at least one; quantiles are averaged, as LeRobot does."""
    return {name: _together([each[name] for each in episodes]) for name in episodes[0]}


def _together(parts: Sequence[Stats]) -> Stats:
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()

    def weighted(values: list[NDArray[Any]]) -> NDArray[Any]:
        return np.tensordot(weights, np.stack(values), axes=1)

    mean = weighted([part["mean"] for part in parts])
    variance = weighted([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    found = {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(counts.sum())]),
    }
    return found | {name: weighted([part[name] for part in parts]) for name in QUANTILES}


def as_lists(stats: Mapping[str, Stats]) -> dict[str, dict[str, Any]]:
    """The same for JSON."""
    return {
        name: {key: value.tolist() for key, value in each.items()} for name, each in stats.items()
    }
