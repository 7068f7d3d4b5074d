"""What each part of the training recipe is worth: variants of it, trained and judged alike.

All variants learn from the same episodes on the same image branch; only the named settings differ.
Runs are kept in --out: what was trained is not trained again, and what was stopped goes on.
"""

import argparse
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError

HELP = "ablation of the training recipe: HRI and success of each variant, with spread"
HORIZON = 100
PRIOR = ("size.prior=64", "prior_plans=4000")
VARIANTS: dict[str, tuple[str, ...]] = {
    "as configured": (),
    "K = 1": ("horizon=1", "long_horizon=1"),
    "K = 4": ("horizon=4", "long_horizon=4"),
    "K = 32": ("horizon=32", "long_horizon=32"),
    "no curriculum": ("curriculum=0",),
    "no anti-collapse": ("anti_collapse_weight=0",),
    "SIGReg": ("anti_collapse=sigreg",),
    "Lipschitz 1.0": ("size.lipschitz=1.0",),
    "Lipschitz 0.95": ("size.lipschitz=0.95",),
    "no places": ("places_weight=0",),
    "no scene": ("scene_weight=0",),
    "no places, no scene": ("places_weight=0", "scene_weight=0"),
    "inverse dynamics": ("inverse_weight=0.1",),
    "privileged state": ("state_weight=1", "places_weight=0"),
    "64 candidates": ("planner.candidates=64",),
    "64 candidates, prior": ("planner.candidates=64", *PRIOR),
    "512 candidates, prior": PRIOR,
    "ensemble of 4": ("size.ensemble=4", "planner.disagreement=1"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --seeds are those of the trainings and of the episodes."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="training episodes"
    )
    parser.add_argument(
        "--vision", type=Path, metavar="RUN",
        help="run or bundle whose image branch all variants share; default the shipped one",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the runs")
    parser.add_argument("--world-steps", type=int, default=4000, metavar="N", help="updates each")
    parser.add_argument(
        "--variants", nargs="+", default=list(VARIANTS), metavar="NAME", help="some of them"
    )
    parser.add_argument(
        "--success-episodes", type=int, default=20, metavar="N",
        help="closed-loop episodes for each seed and model",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet, judge all of it; one block for each variant."""
    for name in args.variants:
        if name not in VARIANTS:
            raise SdiwmError(f"--variants '{name}' is unknown: choose from {', '.join(VARIANTS)}")
    from sdiwm_model.evaluation.recordings import heldout_folder, statistics_folder
    from sdiwm_model.evaluation.study import Folders
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    shipped = bundle_folder(args.vision, args.task)
    trained = {
        name: [_bundle(args, shipped, name, s) for s in args.seeds] for name in args.variants
    }
    planner = trained[args.variants[0]][0]
    about = args.task, planner, load_runtime(planner, "onnx").manifest.model_hash, HORIZON
    heldout = [heldout_folder(*about, seed) for seed in args.seeds]
    folders = Folders(statistics_folder(*about), heldout, args.seeds)
    blocks = {name: _judge(args, name, bundles, folders) for name, bundles in trained.items()}
    return {args.task: blocks}


def _bundle(args: argparse.Namespace, vision: Path, name: str, seed: int) -> Path:
    """The exported bundle of one variant and training seed, made now where it is missing."""
    from sdiwm_model.checkpoint import MANIFEST
    from sdiwm_model.export.bundle import export_bundle
    from sdiwm_model.training.config import configure
    from sdiwm_model.training.run import train

    folder = args.out / name.replace(",", "").replace(" ", "-") / str(seed)
    if not (folder / "bundle" / MANIFEST).is_file():
        common = ("vision_steps=0", "language_steps=0", "size.prior=0", "prior_plans=0")
        settings = [*common, f"world_steps={args.world_steps}", *VARIANTS[name]]
        print(f"{name}, seed {seed}")
        config = configure(settings, args.task)
        train(args.data, folder / "run", config, seed, vision=vision)
        export_bundle(folder / "run", folder / "bundle", seed)
    return folder / "bundle"


def _judge(
    args: argparse.Namespace, name: str, bundles: list[Path], folders: Any
) -> dict[str, Any]:
    """Float HRI and the rest, and success on the engine; an ensemble's penalty needs ONNX."""
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.evaluation.recordings import closed_loop
    from sdiwm_model.evaluation.summary import spread, summarise

    penalised = read_manifest(bundles[0]).planner.disagreement > 0
    backend = "onnx" if penalised else "native"
    rows = summarise(args.task, bundles, folders, HORIZON, success_episodes=0)
    for row, bundle in zip(rows, bundles, strict=True):
        found = closed_loop(args.task, bundle, backend, args.success_episodes, args.seeds)
        row["success"] = found["success"]["mean"]
        row.pop("hri")
    settings = [f"world_steps={args.world_steps}", *VARIANTS[name]]
    return {"settings": settings, "backend": backend} | spread(rows)


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, blocks in results.items():
        print(f"sdiwm bench ablation: {task}, mean +- std over training seeds")
        for name, block in blocks.items():
            mean, std = block["mean"], block["std"]
            figures = (
                f"{label} {_spread(mean[key], std[key])}"
                for key, label in (
                    (f"hri_at_{HORIZON}", "HRI"),
                    (f"skill_at_{HORIZON}", "skill"),
                    ("success", "success"),
                )
            )
            print(f"  {name:<24}{'   '.join(figures)}{'' if all(block['valid']) else '   INVALID'}")


def _spread(mean: float, std: float | None) -> str:
    return f"{mean:.3f}" + ("" if std is None else f" +- {std:.3f}")
