"""Measure the ROS 2 graph in real time: rates, latency from observation to action, success.

Each seed is a run of its own, with the nodes in separate processes. The same episodes are
then played in lockstep, without ROS, to show what real time costs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import BACKEND_HELP, add_wam, chosen_wam
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_ros.evaluation import Measured
    from sdiwm_ros.monitor import Monitor

HELP = "the ROS 2 graph in real time: rates, latency, overruns, success"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--backend", default="native", help=BACKEND_HELP)
    add_wam(parser)
    parser.add_argument("--model", default="", metavar="FOLDER", help="another bundle")
    parser.add_argument(
        "--duration", type=float, default=60.0, metavar="S", help="seconds measured for each seed"
    )
    parser.add_argument(
        "--changes", type=int, default=5, metavar="N",
        help="instructions given while the arm moves, after each measurement",
    )  # fmt: skip
    parser.add_argument("--no-lockstep", action="store_true", help="do not replay in lockstep")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the runs' records here")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; the `results` of BENCH.md for `ros`, and what else was measured."""
    if args.duration < 2.0:
        raise SdiwmError(f"--duration {args.duration}: give 2 seconds or more.")
    if args.keep is not None:
        return _measure(args, args.keep)
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        return _measure(args, Path(folder))


def _measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from sdiwm_model.report import distribution
    from sdiwm_ros.evaluation import figures, host_figures, reaction_ms, read_measured
    from sdiwm_ros.models import model_bytes
    from sdiwm_ros.trial import TrialSettings, run_trial

    asked = chosen_wam(args)
    runs, reactions, folders = [], [], []
    for seed in args.seeds:
        folders.append(folder / f"seed-{seed}")
        settings = TrialSettings(
            task=args.task,
            backend=args.backend,
            model=args.model,
            seed=seed,
            folder=folders[-1],
            duration=args.duration + 1.0,  # diagnostics tell of the start up to 1 s late
            changes=args.changes,
            wam=replace(asked, asynchronous=True),
        )
        published = run_trial(settings, _progress(seed, args.duration))
        runs.append(read_measured(folders[-1], args.duration))
        reactions += reaction_ms(runs[-1].run, published)
    results = figures(runs) | host_figures(runs)
    results["instruction_to_action_ms"] = distribution(reactions)
    results["model_bytes"] = model_bytes(args.model, args.task, args.backend)
    if args.no_lockstep:
        results["lockstep_success"] = {"mean": None, "ci95": [None, None], "n": 0}
        results["notes"] = {"lockstep_success": "not measured: --no-lockstep"}
    else:
        results["lockstep_success"] = _lockstep(args, folders, runs)
    return results


def _progress(seed: int, duration: float) -> Any:
    from tqdm import tqdm

    bar = tqdm(total=round(duration, 1), unit="s", desc=f"seed {seed}", disable=None)

    def show(monitor: "Monitor", elapsed: float) -> None:
        bar.n = round(min(elapsed, duration), 1)
        bar.set_postfix_str(f"{len(monitor.episodes)} episodes")
        if elapsed >= duration:
            bar.close()

    return show


def _lockstep(
    args: argparse.Namespace, folders: list[Path], runs: "list[Measured]"
) -> dict[str, Any]:
    """Success of the measured episodes without ROS, played by the simulator's room."""
    from sdiwm_model.report import rate
    from sdiwm_model.shipped import bundle_folder

    command = [sys.executable, "-m", "sdiwm_sim.lockstep", *map(str, folders)]
    command += ["--first", *(str(len(run.episodes)) for run in runs)]
    command += ["--model", str(bundle_folder(args.model, args.task)), "--backend", args.backend]
    command += ["--delay-ms", str(args.delay_ms), *(["--wam", *args.wam] if args.wam else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SdiwmError("the episodes could not be played in lockstep; the reason is above.")
    successes = json.loads(done.stdout)["success"]
    return rate(sum(successes), len(successes))


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    from sdiwm_ros.table import print_figures

    print_figures("sdiwm bench ros", results)
