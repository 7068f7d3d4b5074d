"""Success of a model in closed loop, in lockstep with the simulator, without ROS."""

import argparse
from pathlib import Path
from typing import Any

HELP = "closed-loop success beside random and oracle, in lockstep with the simulator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--backend", default="native", help="torch, onnx or native")
    parser.add_argument("--model", type=Path, metavar="DIR", help="another bundle")
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="for each seed")
    parser.add_argument(
        "--instructions", default="train", choices=("train", "heldout"),
        help="sentences of the main figures; held-out ones are always measured too",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for the task."""
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_sim.closed_loop import ExpertController, ModelController, RandomController
    from sdiwm_sim.task import make_task
    from sdiwm_sim.trials import counts, draw_trials, per_seed

    task = make_task(args.task)
    controller = ModelController(load_runtime(bundle_folder(args.model, args.task), args.backend))
    trials = draw_trials(task, args.seeds, args.episodes, args.instructions)
    heldout = draw_trials(task, args.seeds, args.episodes, "heldout")
    results = _run("model", task, controller, trials)
    timings = controller.timings
    other = results if trials == heldout else _run("held out", task, controller, heldout)
    unseen = counts(other)
    baselines = {
        name: counts(_run(name, task, baseline, trials))
        for name, baseline in (("random", RandomController()), ("oracle", ExpertController()))
    }
    block: dict[str, Any] = counts(results)
    for name, figures in baselines.items():
        block[f"{name}_success"] = figures["success"]
    block |= {f"heldout_{key}": value for key, value in unseen.items()}
    block |= _speed(timings) | {
        "model_hash": controller.runtime.manifest.model_hash,
        "backend": args.backend,
        "instructions": args.instructions,
        "per_seed": per_seed(results),
        "heldout_per_seed": per_seed(other),
    }
    return {args.task: block}


def _speed(timings: Any) -> dict[str, Any]:
    from sdiwm_model.report import distribution

    return {
        "plan_ms": distribution(timings.plan_ms),
        "encode_ms": distribution(timings.encode_ms),
    }


def _run(name: str, task: Any, controller: Any, trials: Any) -> Any:
    from tqdm import tqdm

    from sdiwm_sim.trials import Result, run_trials

    done = successes = 0
    with tqdm(total=len(trials), desc=f"{name:<8}", unit="episode", disable=None) as bar:

        def show(result: Result) -> None:
            nonlocal done, successes
            done += 1
            successes += result.outcome.success
            bar.update()
            bar.set_postfix_str(f"{successes / done:.0%} success")

        return run_trials(task, controller, trials, show)


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, block in results.items():
        print(f"sdiwm bench control: {task}, {block['backend']}, model {block['model_hash']}")
        for key, label in (
            ("success", "success"),
            ("wrong_target", "held another target"),
            ("passed_over_wrong", "passed over another target"),
            ("refused", "sentence refused"),
            ("heldout_success", "success, sentences never trained on"),
            ("heldout_wrong_target", "held another target, such sentences"),
            ("random_success", "success of random actions"),
            ("oracle_success", "success of the scripted oracle"),
        ):
            print(f"  {label:<38}{_rate(block[key])}")
        for seed, figures in block["per_seed"].items():
            unseen = block["heldout_per_seed"][seed]["success"]["mean"]
            print(
                f"  {'seed ' + seed:<38}{figures['success']['mean']:6.1%}"
                f"   never trained on {unseen:6.1%}"
            )
        for key, label, unit in (
            ("time_to_success_s", "time to success p50 / p99", "s"),
            ("plan_ms", "one plan p50 / p99", "ms"),
            ("encode_ms", "one picture p50 / p99", "ms"),
        ):
            spread = block[key]
            if spread["n"]:
                print(f"  {label:<38}{spread['p50']:.3g} / {spread['p99']:.3g} {unit}")


def _rate(value: dict[str, Any]) -> str:
    low, high = value["ci95"]
    return f"{value['mean']:6.1%} of {value['n']} (95 %: {low:.1%} - {high:.1%})"
