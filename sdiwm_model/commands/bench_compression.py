"""Stages of compression side by side: time on every target, size, HRI, ranking and success.

A stage is a name and its bundles, one a training seed, on the back end that is to control:
`--stage full@torch A0 A1 A2 --stage quantised@native A0 A1 A2 --stage distilled@native B0 B1 B2`.
Episodes that --train-data and --data do not name are recorded first, and cached; the shipped model
of the task plans in a part of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import add_recordings, recording_folders
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.evaluation.stages import Stage
    from sdiwm_model.evaluation.study import Folders

HELP = "stages of compression beside the full model: latency, size, HRI, ranking, success"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument(
        "--stage", nargs="+", action="append", required=True, metavar=("NAME", "BUNDLE"),
        help="NAME or NAME@BACKEND (torch, onnx or native; default onnx), then bundles, one a "
        "training seed; the first stage is `full`",
    )  # fmt: skip
    add_recordings(parser)
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="time spent on each latency"
    )
    parser.add_argument(
        "--success-episodes", type=int, default=20, metavar="N",
        help="closed-loop episodes for each seed and bundle, with one plan a model step; 0 for "
        "none",
    )  # fmt: skip
    parser.add_argument(
        "--deployed", metavar="NAME",
        help="stage that also plans at every control tick (default: the last one)",
    )  # fmt: skip
    parser.add_argument(
        "--ratios", type=float, nargs="+", default=[], metavar="R",
        help="also the reference curve of pruning: units removed against weights masked, of the "
        "full model, untrained, at these ratios",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="keep accuracy and success here: a stopped bench goes on; latencies are always of "
        "this run",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for the task."""
    from sdiwm_model.evaluation.kept import Kept
    from sdiwm_model.evaluation.stage_accuracy import summary, versus_full
    from sdiwm_model.evaluation.stage_estimates import estimates
    from sdiwm_model.evaluation.stage_latency import latencies
    from sdiwm_model.evaluation.stage_runs import accuracies, add_control, between_seeds
    from sdiwm_model.evaluation.stages import FULL, size_facts

    stages, deployed = _stages(args)
    notes: dict[str, str] = {}
    timed = latencies(stages, args.seconds, args.seeds[0], notes)
    kept = Kept(args.keep)
    for name, found in estimates(stages, kept, notes).items():
        timed[name]["latency_ms"] |= found
    folders = _folders(args)
    rows = accuracies(stages, folders, args.horizon, kept)
    results: dict[str, Any] = {"ranking_between_full_models": between_seeds(rows[FULL])}
    if args.success_episodes:
        results |= add_control(rows, stages, deployed, args.success_episodes, args.seeds, kept)
    else:
        notes["stages.*.success"] = "not measured: --success-episodes 0"
    seed = args.seeds[0]
    results["stages"] = {
        stage.name: {"backend": stage.backend}
        | size_facts(stage.bundles[0])
        | timed[stage.name]
        | summary(rows[stage.name], args.horizon, seed)
        | {"accuracy_vs_full": versus_full(rows[stage.name], rows[FULL], seed)}
        for stage in stages
    }
    results |= {"deployed": deployed, "horizon": args.horizon}
    results["pruning_curve"] = _curve(args, stages[0].bundles[0], folders, notes)
    if args.json is not None:
        _draw(args, results)
    return {args.task: results, "notes": notes}


def _curve(
    args: argparse.Namespace, bundle: Path, folders: Folders, notes: dict[str, str]
) -> dict[str, Any] | None:
    if not args.ratios:
        notes["pruning_curve"] = "not measured: no --ratios"
        return None
    from sdiwm_model.evaluation.pruning_curve import pruning_curve

    return pruning_curve(bundle, args.ratios, folders, args.horizon, args.seconds)


def _draw(args: argparse.Namespace, results: dict[str, Any]) -> None:
    from sdiwm_model.evaluation.tradeoffs import draw_pruning, draw_tradeoffs

    picture = args.json.with_suffix(".png")
    draw_tradeoffs(picture, results, args.task)
    print(f"picture: {picture}")
    if curve := results["pruning_curve"]:
        second = picture.with_stem(f"{picture.stem}_pruning")
        draw_pruning(second, curve, args.task, args.horizon)
        print(f"picture: {second}")


def _stages(args: argparse.Namespace) -> tuple[list[Stage], str]:
    """The stages, and which of them is deployed; refused before anything is measured."""
    from sdiwm_model.evaluation.stages import check_stages, read_stage

    stages = [read_stage(words) for words in args.stage]
    check_stages(stages, args.task)
    _check_ratios(args, stages[0].bundles[0])
    deployed = args.deployed or stages[-1].name
    if deployed not in {stage.name for stage in stages}:
        raise SdiwmError(f"--deployed {deployed}: name one of the stages")
    return stages, deployed


def _check_ratios(args: argparse.Namespace, bundle: Path) -> None:
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.compression.prune import pruned_size

    for ratio in args.ratios:
        if not 0 < ratio < 1:
            raise SdiwmError(f"--ratios {ratio}: use a share above 0 and below 1")
        pruned_size(read_manifest(bundle).sizes, ratio)


def _folders(args: argparse.Namespace) -> Folders:
    """Episodes as every bench takes them; in those that are recorded the shipped model plans."""
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    planning = bundle_folder(None, args.task)
    return recording_folders(args, planning, load_runtime(planning, "onnx"))


def print_table(results: dict[str, Any]) -> None:
    """Print one line for each stage and target."""
    for task, block in results.items():
        print(f"sdiwm bench compression: {task}, one plan on one core, in ms")
        _print_costs(block["stages"])
        _print_accuracy(block["stages"], block["horizon"])
        if curve := block["pruning_curve"]:
            _print_curve(curve)
        for key in ("random_success", "oracle_success", "random_return", "oracle_return"):
            if key in block:
                print(f"  {key.replace('_', ' '):<22}{_rate(block[key])}")


def _print_costs(stages: dict[str, Any]) -> None:
    targets = list(
        dict.fromkeys(
            target
            for block in stages.values()
            for target, figures in block["latency_ms"].items()
            if figures is not None
        )
    )
    head = "".join(f"{target:>{_width(target)}}" for target in targets)
    print(f"  {'':<22}{'params':>9}{'MMAC/plan':>11}{'KB':>8}{head}{'faster':>9}{'Hz':>7}")
    for name, block in stages.items():
        macs, size = block["macs"]["plan"], block["bytes"][block["backend"]]
        times = (f"{_time(block['latency_ms'].get(each)):>{_width(each)}}" for each in targets)
        print(
            f"  {name + ' @' + block['backend']:<22}{block['params']:>9}"
            f"{'-' if macs is None else f'{macs / 1e6:.1f}':>11}"
            f"{'-' if size is None else f'{size / 1e3:.0f}':>8}{''.join(times)}"
            f"{block['speedup_of_stage']:>8.1f}x{block['control_hz']:>7.0f}"
        )


def _width(target: str) -> int:
    return 12 if target.endswith("_est") else 22


def _time(figures: dict[str, Any] | None) -> str:
    if figures is None or figures.get("plan_ms", 0) is None:
        return "-"
    if "plan_ms" in figures:  # of a microcontroller: of its own, smaller plan
        return f"{figures['plan_ms']:.3g}" + ("" if figures["fits"] else " (!)")
    return f"{figures['p50']:.3g} (p99 {figures['p99']:.3g})"


def _print_accuracy(stages: dict[str, Any], steps: int) -> None:
    print(f"  {'':<22}{'HRI':>24}{'of full':>9}{'ranking':>9}{'success':>26}{'of full':>9}")
    for name, block in stages.items():
        versus = block["accuracy_vs_full"]
        success = _rate(block["success"]) if "success" in block else "-"
        print(
            f"  {name:<22}{_interval(block[f'hri_at_{steps}']):>24}"
            f"{_share(versus['hri']):>9}{versus['cost_rank_correlation']['mean']:>9.3f}"
            f"{success:>26}{_share(versus.get('success')):>9}"
            + ("" if block["valid"] else "  INVALID: the latents span too little")
        )
        if "success_every_tick" in block:
            print(f"  {'  plans at every tick':<22}{_rate(block['success_every_tick']):>68}")
        if "return" in block:
            share = _share(versus["return"])
            print(f"  {'  return':<22}{_interval(block['return'], 1):>68}{share:>9}")


def _print_curve(curve: dict[str, Any]) -> None:
    print(f"  {'pruned at once, untrained':<28}{'ratio':>7}{'HRI':>8}{'ranking':>9}{'ms':>8}")
    for way in ("structured", "unstructured"):
        block = curve[way]
        for i, ratio in enumerate(curve["ratios"]):
            print(
                f"  {way:<28}{ratio:>7.2f}{block['hri'][i]:>8.3f}"
                f"{block['cost_rank_correlation'][i]:>9.3f}{block['plan_ms'][i]['p50']:>8.3g}"
            )


def _share(ratio: dict[str, Any] | None) -> str:
    return "-" if ratio is None or ratio["mean"] is None else f"{ratio['mean']:.1%}"


def _rate(value: dict[str, Any]) -> str:
    low, high = value["ci95"]
    if high > 1:  # a return
        return _interval(value, 1)
    return f"{value['mean']:.1%} ({low:.1%}-{high:.1%})"


def _interval(value: dict[str, Any], digits: int = 3) -> str:
    low, high = value["ci95"]
    return f"{value['mean']:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
