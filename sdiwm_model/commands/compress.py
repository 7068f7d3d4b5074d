"""From a trained model to a small one that is ready to deploy, by a recipe.

A recipe is a list of steps: distil, prune, fine_tune, calibrate, planner; config/compression has
some, and deploy.yaml there explains all. Each step writes a run folder into --work; a stopped call
goes on, and recipes that begin alike share their first steps. The bundle holds weights, ONNX
graphs, the int8 engine and encoder, their C++, and a model card.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import check_writable

if TYPE_CHECKING:
    from sdiwm_model.compression.pipeline import Source
    from sdiwm_model.compression.recipe import RecipeFile

HELP = "make a trained model small and fast by a recipe; goes on where a stopped one left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm compress`."""
    parser.add_argument("--model", type=Path, required=True, help="folder that `train` wrote")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of episodes that steps learn from",
    )
    parser.add_argument(
        "--recipe", metavar="NAME|FILE",
        help="of config/compression, or a .yaml file; deploy unless named, with --under search",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="of the steps' runs; OUT.stages unless named"
    )
    parser.add_argument(
        "--episodes", type=int, default=0, metavar="N",
        help="closed-loop episodes whose success the model card tells, 0 for none",
    )  # fmt: skip
    parser.add_argument(
        "--under", nargs="+", default=[], metavar="NAME=VALUE",
        help="choose among the recipes that the file leaves open, by default those of search.yaml: "
        "the best within plan_ms, m7_ms, m55_ms (milliseconds), sram_kb, flash_kb (1024 bytes) and "
        "success_drop (points of 100)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what --under found here")
    parser.add_argument("--seed", type=seed, default=0, help="of every step")


def run(args: argparse.Namespace) -> int:
    """Check everything, run the steps, write the bundle."""
    if args.episodes < 0:
        raise SdiwmError(f"--episodes is {args.episodes}: use 0 or more")
    if args.out.exists() and args.out.resolve() == args.model.resolve():
        raise SdiwmError(f"--out {args.out} is the model itself: name another folder")
    if args.json is not None:
        if not args.under:
            raise SdiwmError("--json is for what --under found: leave it out, or add --under")
        check_writable("--json", args.json)
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.compression.constraints import read_constraints
    from sdiwm_model.compression.deploy import deploy
    from sdiwm_model.compression.pipeline import Source, check_data_given
    from sdiwm_model.compression.recipe import load_recipe
    from sdiwm_model.export.bundle import check_replaceable

    constraints = read_constraints(args.under)
    default = "search" if args.under else "deploy"
    source = Source(args.model, tuple(args.data), args.seed)
    file = load_recipe(args.recipe or default, read_manifest(args.model).task)
    recipes = file.recipes if args.under else (file.single,)
    check_replaceable(args.out)
    start = source.foreseen()
    for recipe in recipes:
        check_data_given(recipe, source.data)
        recipe.foresee(start)
    work = args.work or args.out.with_name(f"{args.out.name}.stages")
    if args.under:
        _search(args, file, source, constraints, work)
    else:
        card = deploy(recipes[0], source, work, args.out, args.episodes)
        for name, told in card.latency_ms.items():
            if told is not None:
                milliseconds = told.get("p50", told.get("ms_est"))
                print(f"{name}: {'?' if milliseconds is None else f'{milliseconds:.3f} ms'}")
    print(f"wrote {args.out}; see {args.out / 'MODEL_CARD.md'}")
    return 0


def _search(
    args: argparse.Namespace,
    file: RecipeFile,
    source: Source,
    constraints: dict[str, float],
    work: Path,
) -> None:
    """Find the best recipe within the constraints, and build it."""
    import shlex
    import sys
    from dataclasses import asdict

    from sdiwm_model.compression.under import build, print_table, search
    from sdiwm_model.report import build_report, write_json

    results: dict[str, Any] = {"constraints": constraints, "recipe": args.recipe or "search"}

    def report() -> None:
        if args.json is not None:
            command = shlex.join(["sdiwm", *sys.argv[1:]])
            write_json(args.json, build_report("compress", command, [args.seed], results))

    found = search(file, source, constraints, work)
    results |= asdict(found) | {"search": asdict(file.search), "built": None}
    print_table(found)
    report()
    found.check_success(constraints)
    results["built"] = built = build(file, source, found, work, args.out)
    report()
    print(f"built: success {built['success']:.1%}, {built['success_drop']:+.1f} points lost")
