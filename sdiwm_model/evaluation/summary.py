"""Several bundles by their main figures: the spread over training seeds, rows of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.evaluation.assessment import assess
from sdiwm_model.evaluation.recordings import closed_loop
from sdiwm_model.evaluation.study import Folders, load_study
from sdiwm_model.runtime.load import load_runtime


def summarise(
    task: str,
    bundles: Sequence[Path],
    folders: Folders,
    horizon: int = 100,
    success_episodes: int = 20,
    backend: str = "onnx",
) -> list[dict[str, Any]]:
    """`figures_of` each bundle, on the same episodes.

    Args:
        success_episodes: closed-loop episodes for each seed of ``folders``, 0 for none.
        backend: that imagines and controls; latents are those of the float encoder.
    """
    rows = []
    for bundle in bundles:
        study = load_study(load_runtime(bundle, "onnx"), folders, horizon)
        block = assess(load_runtime(bundle, backend), study)
        if success_episodes:
            block |= closed_loop(task, bundle, backend, success_episodes, folders.seeds)
        rows.append(figures_of(block, horizon))
    return rows


def figures_of(block: Mapping[str, Any], horizon: int) -> dict[str, Any]:
    """What matters most of a block: HRI, skill, probe errors and success at the horizon T.

    Errors have a key each, e.g. ``pucks_m_at_100``; `success` and `return_ratio` are plain means,
    and missing where they were not measured.
    """
    suffix = f"_at_{horizon}"
    figures = {
        "model_hash": block["model_hash"],
        "hri": block["hri"],
        "valid": block["valid"],
        f"hri{suffix}": float(block["hri"][-1]),
        f"skill{suffix}": block[f"skill{suffix}"],
        "effective_rank": block["effective_rank"],
        f"retrieval{suffix}": block[f"retrieval{suffix}"],
    }
    figures |= {f"{name}{suffix}": error for name, error in block[f"probe_error{suffix}"].items()}
    for key in ("success", "return_ratio"):
        if block.get(key) is not None:
            figures[key] = block[key]["mean"]
    return figures


def spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of `figures_of` as one list a key, with `mean` and `std` (n - 1) of the numbers.

    The standard deviation of one model is null.
    """
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    numbers = {
        key: values
        for key, values in columns.items()
        if all(isinstance(value, float) for value in values)
    }
    return columns | {
        "mean": {key: float(np.mean(values)) for key, values in numbers.items()},
        "std": {
            key: float(np.std(values, ddof=1)) if len(rows) > 1 else None
            for key, values in numbers.items()
        },
    }
