"""From a trained model to a small one that is ready to deploy, by a recipe.

A recipe is a list of steps: distil, prune, fine_tune, calibrate, planner; config/compression has
some, and deploy.yaml there explains all. Each step writes a run folder into --work; a stopped call
goes on, and recipes that begin alike share their first steps. The bundle holds weights, ONNX
graphs, the int8 engine and encoder, their C++, and a model card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

HELP = "make a trained model small and fast by a recipe; goes on where a stopped one left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm compress`."""
    parser.add_argument("--model", type=Path, required=True, help="folder that `train` wrote")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], help="folders of episodes that steps learn from"
    )
    parser.add_argument(
        "--recipe", default="deploy", metavar="NAME|FILE",
        help="of config/compression, or a .yaml file",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="of the steps' runs (default: OUT.stages)"
    )
    parser.add_argument(
        "--episodes", type=int, default=0, metavar="N",
        help="closed-loop episodes whose success the model card tells, 0 for none",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="of every step")


def run(args: argparse.Namespace) -> int:
    """Check everything, run the steps, write the bundle."""
    if args.episodes < 0:
        raise SdiwmError(f"--episodes is {args.episodes}: use 0 or more")
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.compression.deploy import deploy
    from sdiwm_model.compression.pipeline import Source, check_data_given
    from sdiwm_model.compression.recipe import load_recipe
    from sdiwm_model.export.bundle import check_replaceable

    source = Source(args.model, tuple(args.data), args.seed)
    recipe = load_recipe(args.recipe, read_manifest(args.model).task).single
    check_data_given(recipe, source.data)
    check_replaceable(args.out)
    recipe.foresee(source.foreseen())
    work = args.work or args.out.with_name(f"{args.out.name}.stages")
    card = deploy(recipe, source, work, args.out, args.episodes)
    for name, told in card.latency_ms.items():
        if told is not None:
            milliseconds = told.get("p50", told.get("ms_est"))
            print(f"{name}: {'?' if milliseconds is None else f'{milliseconds:.3f} ms'} a plan")
    print(f"wrote {args.out}, model hash {card.model_hash}; see {args.out / 'MODEL_CARD.md'}")
    return 0
