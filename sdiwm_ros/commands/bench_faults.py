"""Inject faults into the running graph, many times each, and tell what came of them.

The real nodes run in processes of their own; between simulator and graph, between planner and
guard, and on the microcontroller's line stands what injects the faults. Each trial waits until the
arm moves, then for a moment drawn from --seeds.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_ros.faults.cases import Fault

COUNTED = ("trials", "detected", "safe", "stale_actions_after_safe", "recovered")
HELP = "faults injected into the running graph: detected, safe in time, recovered"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--model", default="", metavar="FOLDER", help="another bundle")
    parser.add_argument("--trials", type=int, default=50, metavar="N", help="trials of each fault")
    parser.add_argument(
        "--faults", nargs="+", default=[], metavar="NAME", help="some of the faults; none: all"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the nodes' logs here")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the trials; the `results` of BENCH.md for `faults`."""
    if args.trials < 1:
        raise SdiwmError(f"--trials {args.trials}: give 1 or more.")
    if args.keep is not None:
        return _run(args, args.keep)
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        return _run(args, Path(folder))


def _run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import numpy as np
    from tqdm import tqdm

    from sdiwm_ros.faults.bed import BedSettings
    from sdiwm_ros.faults.catalogue import BEDS
    from sdiwm_ros.faults.measure import summary
    from sdiwm_ros.faults.run import Runner

    chosen = _chosen(args.faults)
    results = {}
    for name, (kind, faults) in BEDS.items():
        wanted = [fault for fault in faults if fault in chosen]
        if not wanted:
            continue
        settings = BedSettings(args.task, args.model, args.seeds[0], folder / name, **kind)
        with Runner(settings, np.random.default_rng(args.seeds)) as runner:
            for fault in wanted:
                bar = tqdm(range(args.trials), desc=fault.name, disable=None)
                figures = summary([runner.trial(fault) for _ in bar])
                results[fault.name] = figures | {"recovery": fault.meaning}
    return results


def _chosen(names: list[str]) -> "list[Fault]":
    from sdiwm_ros.faults.catalogue import BEDS

    known = {fault.name: fault for _, faults in BEDS.values() for fault in faults}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SdiwmError(f"--faults {unknown[0]}: choose from {', '.join(known)}.")
    return [known[name] for name in names] or list(known.values())


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="sdiwm bench faults", title_justify="left", box=box.SIMPLE_HEAD)
    table.padding = 0
    table.add_column("fault", no_wrap=True)
    for name in ("trials", "detected", "safe", "stale", "recovered", "timeout", "safe ≤ ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for fault, figures in results.items():
        within = figures["safe_within_ms"]
        table.add_row(
            fault.replace("_", " "),
            *(str(figures[key]) for key in COUNTED),
            f"{figures['timeout_ms']:.0f}",
            "–" if within["max"] is None else f"{within['max']:.0f}",
        )
    Console().print(table)
    print("times in ms; safe: at most so long after the fault's own timeout")
    for fault, figures in results.items():
        for trial, words in figures["failures"].items():
            print(f"{fault}, trial {trial}: {words}")
