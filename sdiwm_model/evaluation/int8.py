"""What int8 costs a bundle: HRI and success of the float model and of its engine, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdiwm_model.evaluation import horizon
from sdiwm_model.evaluation.horizon import Whitening
from sdiwm_model.evaluation.imagination import imagine, starting_latents
from sdiwm_model.evaluation.quantisation import mean
from sdiwm_model.evaluation.recordings import closed_loop, heldout_folder, statistics_folder
from sdiwm_model.evaluation.study import Folders, load_study
from sdiwm_model.runtime.load import load_runtime

BACKENDS = {"float": "onnx", "int8": "native"}


def int8_vs_float(
    bundle: Path, episodes: int, seeds: Sequence[int], steps: int = 100
) -> dict[str, Any]:
    """`hri_at_100` and `success` of both, by ONNX Runtime and by the engine on this machine.

    The engine's integers are those of every chip; pictures are encoded in floats for both. Latents
    to be predicted are the float encoder's. Episodes that are not recorded yet are recorded.

    Args:
        episodes: of closed-loop control, and held out for the HRI, for each of the seeds.
    """
    runtimes = {name: load_runtime(bundle, backend) for name, backend in BACKENDS.items()}
    manifest = runtimes["float"].manifest
    about = manifest.task, bundle, manifest.model_hash, steps
    heldout = [heldout_folder(*about, seed, episodes) for seed in seeds]
    folders = Folders(statistics_folder(*about), heldout, seeds)
    study = load_study(runtimes["float"], folders, steps)
    whitening = Whitening.fit(study.training.latents)
    conditionings = study.conditionings(runtimes["float"])
    key, results, similar = f"hri_at_{steps}", {}, {}
    for name, runtime in runtimes.items():
        first = starting_latents(runtime, study.heldout, study.starts)
        path = imagine(runtime, first, study.actions, conditionings)
        similar[name] = horizon.similarity(whitening, path, study.true)[:, -1]
        control = closed_loop(manifest.task, bundle, BACKENDS[name], episodes, seeds)
        results[name] = {key: mean(similar[name], seeds[0]), "success": control["success"]}
    lost = mean(similar["float"] - similar["int8"], seeds[0])
    success = {name: block["success"]["mean"] for name, block in results.items()}
    return {
        **results,
        "hri_lost": lost,
        "hri_lost_share": lost["mean"] / results["float"][key]["mean"],
        "success_lost": success["float"] - success["int8"],
    }
