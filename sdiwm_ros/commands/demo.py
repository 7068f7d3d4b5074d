"""Drive a simulated arm through ROS 2, told in words what to touch; no ROS installation needed.

Starts the nodes simulator, observer, language_goal and planner as processes of their own, runs a
few episodes in real time, then prints a table and writes demo.json, a film of the episodes with
the real and the imagined path of the fingertip, and a histogram of the latencies.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import BACKEND_HELP
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import check_writable

if TYPE_CHECKING:
    from sdiwm_ros.monitor import Monitor

HELP = "watch the arm do what it is told, through ROS 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's arguments."""
    parser.add_argument("--say", metavar="SENTENCE", help="said in every episode, in any words")
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--backend", default="native", help=BACKEND_HELP)
    parser.add_argument("--model", default="", metavar="FOLDER", help="another bundle")
    parser.add_argument("--episodes", type=int, default=5, metavar="N", help="episodes to run")
    parser.add_argument("--seed", type=int, default=0, help="lays out the episodes")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="where results go"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the report (DIR/demo.json)")
    parser.add_argument("--gif", action="store_true", help="write the film as a GIF, not an MP4")
    parser.add_argument("--no-film", action="store_true", help="draw nothing")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when it ran, whatever the arm achieved."""
    check_arguments(args)
    from sdiwm_ros.evaluation import figures, read_measured
    from sdiwm_ros.models import model_bytes
    from sdiwm_ros.trial import TrialSettings, run_trial

    if args.json is not None:
        check_writable("--json", args.json)
    settings = TrialSettings(
        task=args.task,
        backend=args.backend,
        model=args.model,
        seed=args.seed,
        folder=args.out,
        instruction=args.say or "",
        episodes=args.episodes,
    )
    print(f"starting the ROS 2 nodes: task {args.task}, back end {args.backend}", flush=True)
    run_trial(settings, _Teller(args.episodes))
    measured = read_measured(args.out)
    results = figures([measured])
    results["model_bytes"] = model_bytes(args.model, args.task, args.backend)
    results["episodes"] = [vars(episode) for episode in measured.episodes]
    written = [_report(args, results)] + ([] if args.no_film else draw(args.out, args.gif))
    from sdiwm_ros.table import print_figures

    print_figures(f"sdiwm demo: {args.task}, {args.backend}", results)
    for path in written:
        print(f"wrote {path}")
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse in words what could not run, before anything is started."""
    if args.episodes < 1:
        raise SdiwmError(f"--episodes {args.episodes}: give 1 or more.")
    if not 0 <= args.seed < 2**31:
        raise SdiwmError(f"--seed {args.seed}: give a whole number from 0 to 2147483647.")
    if args.say is not None and not args.say.strip():
        raise SdiwmError('--say "": say what to touch, for example --say "touch the red target".')
    if args.out.exists() and not args.out.is_dir():
        raise SdiwmError(f"--out {args.out}: that is a file; name a folder.")


class _Teller:
    """Prints one line an episode as it ends."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._told = 0

    def __call__(self, monitor: "Monitor", elapsed: float) -> None:
        for episode in monitor.episodes[self._told :]:
            self._told += 1
            sentence, ending = episode["instruction"], episode["ending"]
            print(f"  {self._told}/{self._count}  “{sentence}”: {ending}", flush=True)


def _report(args: argparse.Namespace, results: dict[str, Any]) -> Path:
    from sdiwm_model.report import build_report, write_json

    path = Path(args.json or args.out / "demo.json")
    command = shlex.join(["sdiwm", *sys.argv[1:]])
    write_json(path, build_report("demo", command, [args.seed], results))
    return path


def draw(folder: Path, gif: bool) -> list[Path]:
    """Film and histogram of the run in `folder`, drawn by the simulator's room; their paths."""
    film = folder / ("demo.gif" if gif else "demo.mp4")
    histogram = folder / "latency.png"
    command = [sys.executable, "-m", "sdiwm_sim.video", str(folder)]
    command += ["--film", str(film), "--histogram", str(histogram)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SdiwmError(f"the film could not be drawn: {said.removeprefix('sdiwm: error: ')}")
    return [film, histogram]
