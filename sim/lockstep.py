"""The episodes of a recorded ROS run again, in lockstep with the planner: what real time cost.

`python -m sdiwm_sim.lockstep RUN... --first N... --model FOLDER --backend native` prints one JSON
object with a list of booleans, one for each of the first N episodes of each run, in their order.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sdiwm_model.commands.arguments import BACKEND_HELP, add_wam, chosen_wam
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.wam_settings import WamSettings
from sdiwm_sim.closed_loop import ModelController, run_episode
from sdiwm_sim.task import make_task
from sdiwm_sim.video import read_run


def replay(
    runs: list[Path], first: list[int], model: Path, backend: str, wam: WamSettings
) -> list[bool]:
    """Success of the `first` episodes of each run, with the same layouts and sentences.

    Episodes whose sentence names no single target are left out: nobody can judge them.
    """
    from sdiwm_model.runtime.load import load_runtime

    controller = ModelController(load_runtime(model, backend, wam=wam))
    successes = []
    for folder, count in zip(runs, first, strict=True):
        header = read_run(folder).header
        task = make_task(header["task"], header["physics_dt"])
        for episode in header["episodes"][:count]:
            if episode["goal"] is not None:
                outcome = run_episode(
                    task, controller, episode["seed"], episode["goal"], episode["instruction"]
                )
                successes.append(outcome.success)
    return successes


def main() -> int:
    """Print the outcomes; 2 where a run or the model cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m sdiwm_sim.lockstep", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of recorded runs")
    parser.add_argument("--first", type=int, nargs="+", required=True, help="episodes of each run")
    parser.add_argument("--model", type=Path, required=True, help="bundle folder")
    parser.add_argument("--backend", default="native", help=BACKEND_HELP)
    add_wam(parser)
    args = parser.parse_args()
    try:
        played = replay(args.runs, args.first, args.model, args.backend, chosen_wam(args))
        print(json.dumps({"success": played}))
    except SdiwmError as error:
        print(f"sdiwm: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
