"""Record episodes of a simulated task, as Parquet shards for `sdiwm train`.

Episode i of seed S has the layout seed S * 1,000,000 + i, whatever else is collected. Seeds from
1,000,000 on are those of `sdiwm bench horizon`: do not train on them.
"""

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.mixture import DEFAULT, parse_mixture

HELP = "record simulated episodes for training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--episodes", type=int, default=700, metavar="N", help="episodes")
    parser.add_argument(
        "--steps", type=int, default=150, metavar="N", help="model steps of 40 ms in an episode"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the layouts")
    parser.add_argument(
        "--mixture", default=DEFAULT, metavar="NAME=SHARE,...",
        help="share of each behaviour: random, scripted, wrong_target, near_target, demonstration, "
        "planner",
    )  # fmt: skip
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="what `planner` plans with")
    parser.add_argument("--backend", default="native", help="it runs on: torch, onnx or native")


def run(args: argparse.Namespace) -> int:
    """Record; print the rate."""
    mixture = parse_mixture(args.mixture)
    for name, low, high in (("episodes", 1, 10**6), ("steps", 2, 10**5), ("seed", 0, 10**10)):
        if not low <= getattr(args, name) <= high:
            raise SdiwmError(f"--{name} is {getattr(args, name)}: use {low} to {high}")
    with _new_folder(args.out) as folder:
        frames, seconds = _record(args, mixture, folder)
    print(
        f"{args.out}: {args.episodes} episodes, {frames} frames, {seconds:.1f} s, "
        f"{frames / seconds:.0f} frames/s"
    )
    return 0


def _record(args: argparse.Namespace, mixture: dict[str, float], folder: Path) -> tuple[int, float]:
    from tqdm import tqdm

    from sdiwm_model.data.shards import ShardWriter
    from sdiwm_model.report import commit
    from sdiwm_sim.collect import episode_spec, record
    from sdiwm_sim.task import make_task

    task = make_task(args.task)
    runtime = _runtime(args, mixture)
    provenance: dict[str, Any] = {
        "command": shlex.join(["sdiwm", *sys.argv[1:]]),
        "commit": commit(),
        "seed": args.seed,
        "mixture": mixture,
    }
    if runtime is not None:
        provenance["model_hash"] = runtime.manifest.model_hash
    began = time.perf_counter()
    with (
        ShardWriter(folder, episode_spec(task), provenance) as writer,
        tqdm(total=args.episodes * args.steps, unit="frame", disable=None) as bar,
    ):
        for episode in record(task, mixture, args.seed, args.episodes, args.steps, runtime):
            writer.write(episode)
            bar.update(len(episode))
    return args.episodes * args.steps, time.perf_counter() - began


def _runtime(args: argparse.Namespace, mixture: dict[str, float]) -> Any:
    if "planner" not in mixture:
        return None
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    return load_runtime(bundle_folder(args.model, args.task), args.backend)


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name if the block succeeds, else is removed."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise SdiwmError(f"--out {path} exists already: name another folder or remove this one")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield folder
        folder.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
