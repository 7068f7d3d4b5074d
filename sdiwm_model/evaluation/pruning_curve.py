"""Reference curve of pruning: whole units removed against single weights set to zero, untrained.

What training again brings back is what the stage `pruned` shows. Masks are here to be compared
with, and no step on the way to a robot: dense kernels multiply by a zero as slowly as by others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import (
    WEIGHTS,
    Manifest,
    load_model,
    read_manifest,
    save_weights,
    write_manifest,
)
from sdiwm_model.compression.masks import mask_smallest
from sdiwm_model.compression.prune import pruned_size, remove_units
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.evaluation.imagination import encode
from sdiwm_model.evaluation.ranking import Situations, agreement
from sdiwm_model.evaluation.round_robin import one_core, round_robin
from sdiwm_model.evaluation.stage_accuracy import judge
from sdiwm_model.evaluation.stage_latency import plan_call
from sdiwm_model.evaluation.stages import macs_of_plan
from sdiwm_model.evaluation.study import Folders, Study
from sdiwm_model.report import distribution
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.protocols import Runtime
from sdiwm_model.sizes import ModelSize
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.config import configure
from sdiwm_model.world_model import WorldModel

EPISODES = 20  # that importance is measured on, and that each point is judged on
BATCHES = 32  # of recorded sequences, for importance
WAYS = ("structured", "unstructured")


def pruning_curve(
    bundle: Path, ratios: Sequence[float], folders: Folders, steps: int, seconds: float
) -> dict[str, Any]:
    """`hri`, `cost_rank_correlation`, `plan_ms` and `macs` of each of `WAYS`: lists by ratio.

    The first ratio is 0, the whole model.

    At a ratio r, either a share r of the units of every group is removed or a share r of the
    weights of every layer is zero. All run in torch; times are measured in turn.

    Raises:
        SdiwmError: a ratio leaves no unit, or nothing of the model can be pruned.
    """
    sizes = [pruned_size(read_manifest(bundle).sizes, ratio) for ratio in ratios]
    seed = folders.seeds[0]
    runtimes = {("", 0.0): load_runtime(bundle, "torch")}
    for ratio, size in zip(ratios, sizes, strict=True):
        model, manifest = load_model(bundle)
        masked = mask_smallest(model, ratio)
        runtimes["structured", ratio] = _runtime(_smaller(model, size, folders, seed), manifest)
        runtimes["unstructured", ratio] = _runtime(masked, manifest)
    with one_core():
        times = round_robin(
            {key: plan_call(each, seed) for key, each in runtimes.items()}, seconds, seed
        )
    found = _judged(runtimes, folders, steps)
    for key, runtime in runtimes.items():
        found[key]["plan_ms"] = distribution(times[key])
        found[key]["macs"] = macs_of_plan(runtime.manifest.sizes, runtime.manifest.planner)
    curve: dict[str, Any] = {"ratios": [0.0, *ratios]}
    for way in WAYS:
        rows = [found["", 0.0], *(found[way, ratio] for ratio in ratios)]
        curve[way] = {name: [row[name] for row in rows] for name in rows[0]}
    return curve


def _smaller(model: WorldModel, size: ModelSize, folders: Folders, seed: int) -> WorldModel:
    """The units of ``model`` that matter most; its weights are changed."""
    reader = ShardReader(folders.training)
    recorded = Experience.from_episodes(
        list(islice(reader.episodes(), EPISODES)), reader.task["cost_unit"],
        reader.task["camera_lags"],
    )  # fmt: skip
    config = configure((), reader.task["name"])
    small, _ = remove_units(model, size, recorded, config.horizon, config.discount, BATCHES, seed)
    return small


def _runtime(model: WorldModel, manifest: Manifest) -> Runtime:
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        save_weights(Path(folder) / WEIGHTS, model)
        write_manifest(Path(folder), replace(manifest, sizes=model.size))
        return load_runtime(folder, "torch")


def _judged(
    runtimes: dict[tuple[str, float], Runtime], folders: Folders, steps: int
) -> dict[tuple[str, float], dict[str, Any]]:
    """Mean HRI, and the rank correlation with the costs of the whole model, of every point."""
    found, costs = {}, {}
    situations: Situations | None = None
    for key, runtime in runtimes.items():  # the whole model is the first
        study = _study(runtime, folders, steps)
        situations = situations or Situations.of(runtime, study)
        row = judge(runtime, study, situations)
        costs[key] = np.array(row["costs"])
        ranking = agreement(costs[key], costs["", 0.0])["cost_rank_correlation"]
        found[key] = {
            "hri": float(np.mean(row["hri"])),
            "cost_rank_correlation": float(ranking.mean()),
        }
    return found


def _study(runtime: Runtime, folders: Folders, steps: int) -> Study:
    """Some of the episodes: enough to tell ratios apart."""
    readers = ShardReader(folders.training), ShardReader(list(folders.heldout))
    training, heldout = (encode(runtime, islice(r.episodes(), EPISODES)) for r in readers)
    groups = np.zeros(len(heldout.latents), int)
    return Study(training, heldout, steps, folders.seeds[:1], groups, readers[1].task)
