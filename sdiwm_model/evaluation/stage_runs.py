"""What takes long in comparing stages: latents and rollouts of each, and closed-loop episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.evaluation.kept import Kept
from sdiwm_model.evaluation.ranking import Situations, agreement
from sdiwm_model.evaluation.recordings import control
from sdiwm_model.evaluation.stage_accuracy import judge
from sdiwm_model.evaluation.stages import Stage, missing_for
from sdiwm_model.evaluation.study import Folders, Study, load_study
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import Runtime

Rows = dict[str, list[dict[str, Any]]]  # of every stage's bundles
BESIDE = ("random", "oracle")
PACES = {"": "step", "_every_tick": "tick"}  # ends of the keys, and how often is planned


def accuracies(stages: Sequence[Stage], folders: Folders, steps: int, kept: Kept) -> Rows:
    """`judge` of every bundle on the same episodes, and how its costs rank the same plans.

    Plans are proposed by the first bundle of the first stage, and ranked by all. What a stage's
    ranking is compared with is that of the first stage's bundle of the same training seed.
    """
    studies: dict[str, Study] = {}

    def study_of(bundle: Path) -> Study:
        """The episodes in latents of the bundle's float encoder."""
        key = read_manifest(bundle).model_hash
        if key not in studies:
            studies[key] = load_study(_float_runtime(bundle), folders, steps)
        return studies[key]

    first = stages[0].bundles[0]
    situations: list[Situations] = []

    def judged(stage: Stage, bundle: Path) -> dict[str, Any]:
        study = study_of(bundle)
        if not situations:
            situations.append(Situations.of(_float_runtime(first), study_of(first)))
        return judge(load_runtime(bundle, stage.backend), study, situations[0])

    def row(stage: Stage, bundle: Path) -> dict[str, Any]:
        about = _about(stage, bundle) | {
            "proposed_by": read_manifest(first).model_hash,
            "steps": steps,
            "seeds": list(folders.seeds),
            "data": [str(folder.resolve()) for folder in (folders.training, *folders.heldout)],
        }
        return kept(f"accuracy-{stage.name}", about, lambda: judged(stage, bundle))

    rows = {stage.name: [row(stage, bundle) for bundle in stage.bundles] for stage in stages}
    full = [np.array(each["costs"]) for each in rows[stages[0].name]]
    for each in rows.values():
        for index, found in enumerate(each):
            found |= agreement(np.array(found["costs"]), full[index % len(full)])
    return rows


def between_seeds(rows: Sequence[dict[str, Any]]) -> float | None:
    """Mean rank correlation of models that differ in their training seed alone; None for one."""
    costs = [np.array(row["costs"]) for row in rows]
    pairs = [(a, b) for i, a in enumerate(costs) for b in costs[:i]]
    found = [agreement(a, b)["cost_rank_correlation"].mean() for a, b in pairs]
    return float(np.mean(found)) if found else None


def add_control(
    rows: Rows,
    stages: Sequence[Stage],
    deployed: str,
    episodes: int,
    seeds: Sequence[int],
    kept: Kept,
) -> dict[str, Any]:
    """Add every trial's score to the rows; returns those of random actions and of the oracle.

    All stages plan once a model step, `deployed` also at every control tick, in the same episodes.

    Args:
        episodes: for each of the seeds and bundles.
    """
    beside: dict[str, Any] = {}
    for stage in stages:
        for suffix, replan in PACES.items():
            if suffix and stage.name != deployed:
                continue
            for row, bundle in zip(rows[stage.name], stage.bundles, strict=True):
                block = _controlled(stage, bundle, replan, episodes, seeds, kept)
                (score,) = block["training_seeds"]["scores"]
                row |= {f"{key}{suffix}": values for key, values in score.items()}
            names = [f"{who}_{what}" for who in BESIDE for what in ("success", "return")]
            beside = {name: block[name] for name in names if name in block}
    return beside


def _controlled(
    stage: Stage, bundle: Path, replan: str, episodes: int, seeds: Sequence[int], kept: Kept
) -> dict[str, Any]:
    """The block of `sdiwm bench control` of one bundle of a stage."""
    task = read_manifest(bundle).task
    about = _about(stage, bundle) | {
        "task": task,
        "episodes": episodes,
        "seeds": list(seeds),
        "replan": replan,
    }
    return kept(
        f"control-{stage.name}-{replan}",
        about,
        lambda: control(task, [bundle], stage.backend, episodes, seeds, replan),
    )


def _about(stage: Stage, bundle: Path) -> dict[str, Any]:
    manifest = read_manifest(bundle)
    return {
        "model_hash": manifest.model_hash,
        "planner": asdict(manifest.planner),
        "backend": stage.backend,
    }


def _float_runtime(bundle: Path) -> Runtime:
    lacks_graphs = missing_for("onnx", read_manifest(bundle))
    return load_runtime(bundle, "torch" if lacks_graphs else "onnx")
