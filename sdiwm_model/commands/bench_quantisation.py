"""Ways to make int8 of one float model, side by side: HRI, drift, ranking of plans, success.

Without --train-data and --data the episodes are recorded first, by `sdiwm collect`, and cached.
Those of the statistics calibrate, the held-out ones judge.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import add_recordings, recording_folders
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.compression.activations import Calibration, Weights
    from sdiwm_model.compression.quantised_model import QuantisedModel
    from sdiwm_model.runtime.protocols import Runtime

HELP = "int8 by min-max, percentile, drift-aware calibration and fine-tuning, beside float"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="push", help="simulated task")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="other than the shipped one")
    add_recordings(parser)
    parser.add_argument(
        "--updates", type=int, default=300, metavar="N",
        help="of fine-tuning through the rounding, 0 for no such row",
    )  # fmt: skip
    parser.add_argument(
        "--success-episodes", type=int, default=0, metavar="N",
        help="closed-loop episodes for each seed and row, 0 for none",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for each way, all on the same episodes, rollouts and plans."""
    from sdiwm_model.checkpoint import load_model
    from sdiwm_model.evaluation.quantisation import Reference, calibration_of
    from sdiwm_model.evaluation.study import load_study
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    bundle = bundle_folder(args.model, args.task)
    model, _ = load_model(bundle)
    if model.size.dynamics_kind != "gru":
        raise SdiwmError(f"{bundle}: its dynamics is no GRU, and nothing else becomes an engine")
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    runtime = load_runtime(bundle, "onnx")
    study = load_study(runtime, recording_folders(args, bundle, runtime), args.horizon)
    reference = Reference.of(weights, runtime, study)
    notes: dict[str, str] = {}
    blocks: dict[str, Any] = {"float": reference.own()}
    made = _engines(args, bundle, weights, calibration_of(study, runtime), runtime)
    for name, (engine, about) in made.items():
        blocks[name] = reference.judge(engine) | about
    engines = {name: engine for name, (engine, _) in made.items()}
    for name, block in blocks.items():
        block["success"] = _success(args, bundle, engines.get(name))
    if not args.success_episodes:
        notes["methods.*.success"] = "not measured: --success-episodes 0"
    return {
        "task": args.task,
        "model_hash": runtime.manifest.model_hash,
        "methods": blocks,
        "notes": notes,
    }


def _engines(
    args: argparse.Namespace,
    bundle: Path,
    weights: Weights,
    calibration: Calibration,
    runtime: Runtime,
) -> dict[str, tuple[QuantisedModel, dict[str, Any]]]:
    """Each way's integers, and what to say of it beside its figures."""
    from sdiwm_model.compression.fine_tune import fine_tune
    from sdiwm_model.compression.quantise import quantise
    from sdiwm_model.compression.quantised_model import load_engine
    from sdiwm_model.compression.search import quantise_for_control
    from sdiwm_model.evaluation.quantisation import MIN_MAX, PERCENTILE, naive

    seed = args.seeds[0]
    manifest = runtime.manifest
    chosen = quantise_for_control(
        weights, calibration, manifest.planner, seed, manifest.sizes.lipschitz
    )
    made: dict[str, tuple[QuantisedModel, dict[str, Any]]] = {
        "min_max": (naive(weights, calibration, MIN_MAX, seed), {}),
        "percentile": (naive(weights, calibration, PERCENTILE, seed), {}),
        "fixed_ranges": (quantise(weights, calibration, seed), {}),
        "drift_aware": (chosen.model, chosen.describe()),
    }
    if args.updates:
        losses: list[float] = []
        _, tuned = fine_tune(
            weights, calibration, chosen.ranges, args.updates, seed,
            after_update=lambda _, loss: losses.append(loss),
        )  # fmt: skip
        made["fine_tuned"] = (tuned, {"updates": args.updates, "loss": [losses[0], losses[-1]]})
    made["shipped"] = (load_engine(bundle / "engine.safetensors"), {})
    return made


def _success(
    args: argparse.Namespace, bundle: Path, engine: QuantisedModel | None
) -> dict[str, Any] | None:
    """Closed-loop success: of float by ONNX Runtime, of integers by the native engine."""
    from sdiwm_model.checkpoint import read_manifest, write_manifest
    from sdiwm_model.compression.quantised_model import save_engine
    from sdiwm_model.evaluation.recordings import closed_loop

    if not args.success_episodes:
        return None
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as temporary:
        folder = Path(temporary) / "bundle"
        shutil.copytree(bundle, folder)
        if engine is not None:
            save_engine(engine, folder / "engine.safetensors")
        write_manifest(folder, read_manifest(folder, check_files=False))
        backend = "onnx" if engine is None else "native"
        found = closed_loop(args.task, folder, backend, args.success_episodes, args.seeds)
    success: dict[str, Any] = found["success"]
    return success


def print_table(results: dict[str, Any]) -> None:
    """Print one line for each way."""
    print(f"sdiwm bench quantisation: {results['task']}, model {results['model_hash']}")
    first = next(iter(results["methods"].values()))
    hri = next(key for key in first if key.startswith("hri_at_"))
    lost = hri.replace("hri_at_", "hri_lost_at_")
    print(
        f"  {'':<13}{'HRI':>22}{'lost by int8':>24}  {'drift at ' + _steps(results):<30}"
        f"{'ranking':>9}{'regret':>8}{'success':>9}"
    )
    for name, block in results["methods"].items():
        success = "-" if block["success"] is None else f"{block['success']['mean']:.1%}"
        if "drift" not in block:
            print(f"  {name:<13}{_interval(block[hri]):>22}{'':>24}  {'':<30}{'':>17}{success:>9}")
            continue
        drift = " ".join(f"{each['mean']:.4f}" for each in block["drift"].values())
        print(
            f"  {name:<13}{_interval(block[hri]):>22}{_interval(block[lost], 4):>24}  {drift:<30}"
            f"{block['cost_ranking']['mean']:>9.4f}{block['plan_regret']['mean']:>8.4f}"
            f"{success:>9}"
        )


def _steps(results: dict[str, Any]) -> str:
    blocks = results["methods"].values()
    return ", ".join(next(block["drift"] for block in blocks if "drift" in block))


def _interval(rate: dict[str, Any], digits: int = 3) -> str:
    low, high = rate["ci95"]
    return f"{rate['mean']:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
