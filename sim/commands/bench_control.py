"""Success of a model in closed loop, in lockstep with the simulator, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import BACKEND_HELP, add_port, add_wam, chosen_port, chosen_wam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdiwm_model.planning.protocols import PlannerSettings
    from sdiwm_model.runtime.protocols import Runtime
    from sdiwm_sim.closed_loop import Controller, ModelController
    from sdiwm_sim.task import Task
    from sdiwm_sim.trials import Result, Trial

HELP = "closed-loop success beside random and oracle, in lockstep with the simulator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--backend", default="native", help=BACKEND_HELP)
    add_port(parser)
    add_wam(parser)
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[None], metavar="DIR",
        help="other bundles: the first one is measured in full, all together give the spread over "
        "training seeds",
    )  # fmt: skip
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="for each seed")
    parser.add_argument(
        "--instructions", default="train", choices=("train", "heldout"),
        help="sentences of the main figures",
    )  # fmt: skip
    parser.add_argument(
        "--heldout-episodes", type=int, metavar="N",
        help="for each seed with sentences never trained on, 0 for none; as many as --episodes "
        "where this is not given",
    )  # fmt: skip
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE",
        help="planner settings other than the bundle's, as in candidates=64",
    )  # fmt: skip
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="NAME=VALUE",
        help="measure the same episodes with these planner settings too, and the ratio to them",
    )  # fmt: skip
    parser.add_argument(
        "--replan", default="tick", choices=("tick", "step"),
        help="a fresh plan at every control tick, or one a model step, as a slow model can",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for the task."""
    from sdiwm_model.planning.overrides import overridden
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_sim.closed_loop import ExpertController, ModelController, RandomController
    from sdiwm_sim.task import make_task
    from sdiwm_sim.trials import counts, draw_trials, per_seed

    task = make_task(args.task)
    every = _replan_every(args, task)
    runtime = load_runtime(
        bundle_folder(args.model[0], args.task), args.backend, port=chosen_port(args),
        wam=chosen_wam(args),
    )  # fmt: skip
    settings = overridden(runtime.manifest.planner, args.set)
    compared = overridden(runtime.manifest.planner, args.compare)
    trials = draw_trials(task, args.seeds, args.episodes, args.instructions)
    unseen = _heldout_trials(args, task)
    controller = ModelController(runtime, settings, every)
    results = _run("model", task, controller, trials)
    block: dict[str, Any] = counts(results) | _speed(controller)
    for name, baseline in (("random", RandomController()), ("oracle", ExpertController())):
        block |= _beside(name, results, _run(name, task, baseline, trials), args.seeds[0])
    if unseen:
        again = results if unseen == trials else _run("held out", task, controller, unseen)
        block |= {f"heldout_{key}": value for key, value in counts(again).items()}
        block["heldout_per_seed"] = per_seed(again)
    if args.compare:
        other = ModelController(runtime, compared, every)
        block |= _comparison(results, _run("compared", task, other, trials), other, args.seeds[0])
    block |= {
        "model_hash": runtime.manifest.model_hash,
        "backend": args.backend,
        "planner": _as_dict(settings),
        "replan": args.replan,
        "instructions": args.instructions if task.goal_modality == "words" else None,
        "per_seed": per_seed(results),
    }
    if controller.timings.chunk_ms:
        block |= {"delay_ms": args.delay_ms, "chunk_settings": args.wam}
    block["training_seeds"] = _family(args, task, trials, runtime, results)
    return {args.task: block}


def _replan_every(args: argparse.Namespace, task: Task) -> int:
    """Control ticks from one plan to the next."""
    return task.ticks_per_step // task.control_ticks if args.replan == "step" else 1


def _scores(results: Sequence[Result]) -> dict[str, list[float]]:
    """`success`, 0 or 1, of every trial, and its `return` where there is one."""
    from sdiwm_sim.trials import rewards, successes

    scores = {"success": successes(results).tolist()}
    if any(result.outcome.total_reward is not None for result in results):
        scores["return"] = rewards(results).tolist()
    return scores


def _heldout_trials(args: argparse.Namespace, task: Task) -> list[Trial]:
    from sdiwm_sim.trials import draw_trials

    episodes = args.episodes if args.heldout_episodes is None else args.heldout_episodes
    if episodes == 0 or task.goal_modality == "image":
        return []
    return draw_trials(task, args.seeds, episodes, "heldout")


def _beside(
    name: str, ours: Sequence[Result], theirs: Sequence[Result], seed: int
) -> dict[str, Any]:
    """What a baseline adds to the block: NAME_success, and NAME_return where there is one."""
    from sdiwm_model.report import paired_ratio
    from sdiwm_sim.trials import counts, rewards

    figures = counts(theirs)
    added = {f"{name}_{key}": figures[key] for key in ("success", "return") if key in figures}
    if name == "oracle" and "return" in figures:
        added["return_ratio"] = paired_ratio(rewards(ours), rewards(theirs), seed)
    return added


def _comparison(
    ours: Sequence[Result], theirs: Sequence[Result], controller: ModelController, seed: int
) -> dict[str, Any]:
    """`compared`: the same trials with other planner settings; `ratio`: ours to theirs."""
    from sdiwm_model.report import paired_ratio
    from sdiwm_sim.trials import counts, rewards, successes

    figures = counts(theirs)
    score = rewards if "return" in figures else successes
    return {
        "compared": figures | _speed(controller) | {"planner": _as_dict(controller.settings)},
        "ratio": paired_ratio(score(ours), score(theirs), seed),
    }


def _family(
    args: argparse.Namespace,
    task: Task,
    trials: Sequence[Trial],
    first: Runtime,
    results: Sequence[Result],
) -> dict[str, Any]:
    """Success, and return where there is one, of every bundle in --model, on the same trials.

    `scores` are those of the single trials, for comparisons of pairs.
    """
    import numpy as np

    from sdiwm_model.planning.overrides import overridden
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_sim.closed_loop import ModelController
    from sdiwm_sim.trials import counts

    rows, scores = [counts(results)], [_scores(results)]
    hashes = [first.manifest.model_hash]
    for bundle in args.model[1:]:
        runtime = load_runtime(bundle, args.backend, port=chosen_port(args), wam=chosen_wam(args))
        controller = ModelController(
            runtime, overridden(runtime.manifest.planner, args.set), _replan_every(args, task)
        )
        found = _run(bundle.name, task, controller, trials)
        rows.append(counts(found))
        scores.append(_scores(found))
        hashes.append(runtime.manifest.model_hash)
    family: dict[str, Any] = {"model_hash": hashes, "scores": scores}
    for key in ("success", "return"):
        if key in rows[0]:
            family[key] = [row[key] for row in rows]
            means = [rate["mean"] for rate in family[key]]
            family[f"{key}_mean"] = float(np.mean(means))
            family[f"{key}_std"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return family


def _as_dict(settings: PlannerSettings) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(settings)


def _speed(controller: ModelController) -> dict[str, Any]:
    """Times of the plans, pictures and chunks so far."""
    from sdiwm_model.report import distribution

    timings = controller.timings
    speed = {
        "plan_ms": distribution(timings.plan_ms),
        "encode_ms": distribution(timings.encode_ms),
    }
    return speed | ({"chunk_ms": distribution(timings.chunk_ms)} if timings.chunk_ms else {})


def _run(name: str, task: Task, controller: Controller, trials: Sequence[Trial]) -> list[Result]:
    from tqdm import tqdm

    from sdiwm_sim.trials import run_trials

    done = successes = 0
    with tqdm(total=len(trials), desc=f"{name:<8}", unit="episode", disable=None) as bar:

        def show(result: Result) -> None:
            nonlocal done, successes
            done += 1
            successes += result.outcome.success
            bar.update()
            bar.set_postfix_str(f"{successes / done:.0%} success")

        return run_trials(task, controller, trials, show)


RATES = (
    ("success", "success"),
    ("wrong_target", "held another target"),
    ("passed_over_wrong", "passed over another target"),
    ("refused", "sentence refused"),
    ("heldout_success", "success, sentences never trained on"),
    ("heldout_wrong_target", "held another target, such sentences"),
    ("random_success", "success of random actions"),
    ("oracle_success", "success of the scripted oracle"),
)
MEANS = (
    ("return", "return"),
    ("random_return", "return of random actions"),
    ("oracle_return", "return of the scripted oracle"),
    ("return_ratio", "return / oracle's"),
)


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, block in results.items():
        print(f"sdiwm bench control: {task}, {block['backend']}, model {block['model_hash']}")
        for key, label in RATES:
            if key in block:
                _line(label, _rate(block[key]))
        for key, label in MEANS:
            if key in block:
                _line(label, _mean(block[key]))
        for seed, figures in block["per_seed"].items():
            shown = f"{figures['success']['mean']:6.1%}"
            if "return" in figures:
                shown += f"   return {figures['return']['mean']:.3g}"
            if "heldout_per_seed" in block:
                unseen = block["heldout_per_seed"][seed]["success"]["mean"]
                shown += f"   never trained on {unseen:6.1%}"
            _line(f"seed {seed}", shown)
        _print_comparison(block)
        _print_family(block["training_seeds"])
        for key, label, unit in (
            ("time_to_success_s", "time to success p50 / p99", "s"),
            ("plan_ms", "one plan p50 / p99", "ms"),
            ("chunk_ms", "one chunk p50 / p99", "ms"),
            ("encode_ms", "one picture p50 / p99", "ms"),
        ):
            spread = block.get(key)
            if spread and spread["n"]:
                _line(label, f"{spread['p50']:.3g} / {spread['p99']:.3g} {unit}")


def _print_comparison(block: dict[str, Any]) -> None:
    if "compared" not in block:
        return
    other = block["compared"]
    changed = {
        name: value for name, value in other["planner"].items() if value != block["planner"][name]
    }
    said = ", ".join(f"{name} {value}" for name, value in changed.items()) or "the same settings"
    score = _mean(other["return"]) if "return" in other else _rate(other["success"])
    _line(f"with {said}", score)
    _line("  one plan p50", f"{other['plan_ms']['p50']:.3g} ms")
    _line("  ratio to that", _mean(block["ratio"]))


def _print_family(family: dict[str, Any]) -> None:
    if len(family["model_hash"]) < 2:
        return
    key = "return" if "return" in family else "success"
    values = ", ".join(f"{rate['mean']:.4g}" for rate in family[key])
    spread = f"{family[f'{key}_mean']:.4g} +- {family[f'{key}_std']:.2g}  ({values})"
    _line(f"{key} of {len(family[key])} training seeds", spread)


def _line(label: str, text: str) -> None:
    print(f"  {label:<38}{text}")


def _rate(value: dict[str, Any]) -> str:
    low, high = value["ci95"]
    return f"{value['mean']:6.1%} of {value['n']} (95 %: {low:.1%} - {high:.1%})"


def _mean(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    low, high = value["ci95"]
    return f"{value['mean']:.4g} of {value['n']} (95 %: {low:.4g} - {high:.4g})"
