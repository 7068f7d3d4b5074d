"""Draw a recorded run: `python -m sdiwm_sim.video RUN --film demo.mp4 --histogram latency.png`.

Nothing is drawn while the robot moves, so that pictures cost the control loop nothing. The
physics is deterministic: an episode is played again from its seed, goal and actions, and rendered
larger than the model saw it.

RUN is a folder that the simulator node has recorded to:
    simulator.npz   json (text: task, goals, episodes), tick_ns (N,), actions (N, A),
                    commands (M, 4) int64: received ns, observation ns, kind (0 plan), goal number
    imagined.npz    optional: stamp_ns (K,), points (K, T, 3) m, the fingertip as the model
                    expected it to move from the observation of that stamp on
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.film import Picture, write_film
from sdiwm_sim.task import Array, Task, make_task

FRAMES_PER_SECOND = 25
SIZE = 480  # pixels, height and width
CAPTION = 64  # pixels below the picture
END_HOLD = 15  # frames that the last picture of an episode stays
IMAGINED_AGE = 0.25  # s that an imagined path stays in the picture
REAL, IMAGINED = (255, 255, 255), (255, 64, 220)
INK, PAPER = (235, 235, 235), (24, 26, 30)
NAMED = {"red": (230, 60, 50), "green": (60, 180, 80), "blue": (70, 120, 240),
         "yellow": (240, 200, 50)}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A recorded run; arrays as in the module's docstring."""

    header: dict[str, Any]
    tick_ns: NDArray[np.int64]
    actions: Array
    commands: NDArray[np.int64]
    imagined_ns: NDArray[np.int64]
    imagined: Array


def read_run(folder: Path) -> Run:
    """Read a run.

    Raises:
        SdiwmError: simulator.npz is missing or damaged.
    """
    path = folder / "simulator.npz"
    try:
        with np.load(path, allow_pickle=False) as record:
            header = json.loads(str(record["json"]))
            arrays = record["tick_ns"], record["actions"], record["commands"]
        stamps, points = np.zeros(0, np.int64), np.zeros((0, 1, 3), np.float32)
        if (folder / "imagined.npz").is_file():
            with np.load(folder / "imagined.npz", allow_pickle=False) as paths:
                stamps, points = paths["stamp_ns"], paths["points"]
    except (OSError, ValueError, KeyError) as error:
        raise SdiwmError(f"{path}: no readable record of a run ({error}); record it anew") from None
    return Run(header, *arrays, stamps, points)


def film(run: Run, size: int = SIZE) -> Iterator[Picture]:
    """The run's episodes as pictures (size + CAPTION, size, 3), 25 a second of simulated time."""
    task = make_task(run.header["task"], run.header["physics_dt"])
    for episode in run.header["episodes"]:
        if episode["complete"]:
            yield from _film_episode(run, task, episode, size)


def _film_episode(run: Run, task: Task, episode: dict[str, Any], size: int) -> Iterator[Picture]:
    task.reset(episode["seed"], episode["goal"], episode["instruction"])
    task.set_goal(episode["goal"], episode["instruction"])
    changes = {tick: (goal, sentence) for tick, goal, sentence in episode["changes"]}
    ticks_per_frame = 1 / (FRAMES_PER_SECOND * task.physics_dt)
    trail = [task.fingertip()]
    frames = 0
    for tick in range(episode["ticks"]):
        if tick in changes:
            task.set_goal(*changes[tick])
        task.step(run.actions[episode["first_tick"] + tick])
        trail.append(task.fingertip())
        if tick + 1 >= (frames + 1) * ticks_per_frame:
            frames += 1
            imagined = _imagined_at(run, int(run.tick_ns[episode["first_tick"] + tick]))
            yield _compose(task, np.array(trail), imagined, "", size)
    last = _compose(task, np.array(trail), None, _verdict(episode), size)
    for _ in range(END_HOLD):
        yield last


def _imagined_at(run: Run, now_ns: int) -> Array | None:
    """The newest path (T, 3) imagined up to `now_ns`, if it is recent."""
    index = int(np.searchsorted(run.imagined_ns, now_ns, side="right")) - 1
    if index < 0 or now_ns - run.imagined_ns[index] > IMAGINED_AGE * 1e9:
        return None
    return run.imagined[index]


def _verdict(episode: dict[str, Any]) -> str:
    if episode["success"]:
        return f"touched after {episode['time_to_success']:.1f} s"
    if episode["success"] is None:
        return f"ended nearest to {episode['nearest']}"
    return "held another target" if episode["wrong_target"] else "not reached in time"


def _compose(task: Task, trail: Array, imagined: Array | None, verdict: str, size: int) -> Picture:
    """One picture: the scene, the path so far, the imagined path, the sentence."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (size, size + CAPTION), PAPER)
    canvas.paste(Image.fromarray(task.render(size)), (0, 0))
    draw = ImageDraw.Draw(canvas)
    _line(draw, task.project(trail, size), REAL, 2)
    if imagined is not None:
        _line(draw, task.project(imagined, size), IMAGINED, 3)
    small = ImageFont.load_default(13)
    goal = "" if task.goal is None else task.goals[task.goal]
    draw.ellipse((12, size + 12, 26, size + 26), fill=NAMED.get(goal, INK))
    quoted = f"“{task.instruction}”"
    fitting = (ImageFont.load_default(points) for points in (17, 15, 13, 11, 9))
    font = next((f for f in fitting if f.getlength(quoted) < size - 48), small)
    draw.text((36, size + 8), quoted, font=font, fill=INK)
    draw.text((12, size + 38), f"{task.time:4.1f} s  {verdict}", font=small, fill=INK)
    draw.text((size - 215, size + 38), "real path", font=small, fill=REAL)
    draw.text((size - 150, size + 38), "imagined by the model", font=small, fill=IMAGINED)
    return np.asarray(canvas)


def _line(draw: Any, points: Array, colour: tuple[int, int, int], width: int) -> None:
    if len(points) > 1:
        draw.line([tuple(map(float, point)) for point in points], fill=colour, width=width)


def write_histogram(run: Run, path: Path) -> None:
    """A PNG of the times from observation to action, with p50, p99 and p99.9 marked."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    planned = run.commands[run.commands[:, 2] == 0]
    latency = (planned[:, 0] - planned[:, 1]) * 1e-6
    if not len(latency):
        raise SdiwmError(f"{path}: the run holds no planned command, there is nothing to count")
    figure, axes = pyplot.subplots(figsize=(7, 3.5), dpi=120, layout="constrained")
    axes.hist(latency, bins=80, range=(0.0, max(10.0, float(np.percentile(latency, 99.9)))))
    for share, style in ((50, "-"), (99, "--"), (99.9, ":")):
        value = float(np.percentile(latency, share))
        axes.axvline(value, color="black", linestyle=style, label=f"p{share}: {value:.2f} ms")
    axes.set(yscale="log", xlabel="observation → action, ms", ylabel="commands")
    axes.set_title(f"{len(latency)} planned commands through ROS 2")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        figure.savefig(part, format="png")
    pyplot.close(figure)


def main() -> int:
    """Draw what the arguments ask for; 2 where the run cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m sdiwm_sim.video", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the recorded run")
    parser.add_argument("--film", type=Path, help="write an .mp4 or .gif here")
    parser.add_argument("--histogram", type=Path, help="write a .png of the latencies here")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of the picture")
    args = parser.parse_args()
    try:
        run = read_run(args.run)
        if args.film:
            write_film(film(run, args.size), args.film, FRAMES_PER_SECOND)
        if args.histogram:
            write_histogram(run, args.histogram)
    except SdiwmError as error:
        print(f"sdiwm: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
