"""Episodes for the horizon bench: recorded by `sdiwm collect` in another process, and cached.

This room knows no simulator, so it asks the command line for one.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sdiwm_model.data.shards import MANIFEST
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.build import cache_folder

MIXTURE = "random=0.2,scripted=0.2,wrong_target=0.2,near_target=0.2,planner=0.2"
WITHOUT_PLANNER = "random=0.25,scripted=0.25,wrong_target=0.25,near_target=0.25"
DECODER_SEED = 999_999
STATISTICS_SEED = 1_000_000  # seeds of `sdiwm collect` below this one are for training
HELDOUT_SEED = 1_000_001  # of bench seed 0; bench seed s has this plus s
STATISTICS_EPISODES, HELDOUT_EPISODES = 100, 60
DECODER_EPISODES, DECODER_STEPS = 400, 40  # many scenes: a decoder must draw any of them
SPARE_STEPS = 50  # an episode is this much longer than the horizon, for rollouts to start apart
SIMULATOR = "sdiwm_sim"
KEPT_S = 24 * 3600  # an outdated recording stays this long: another bench may be reading it


@dataclass(frozen=True)
class Recording:
    """What a data set holds, and so its name in the cache; ``model`` plans, where one is needed."""

    task: str
    seed: int
    episodes: int
    steps: int
    mixture: str
    model: str | None = None
    model_hash: str | None = None


def record(recording: Recording) -> Path:
    """The folder of these episodes, recorded now if the cache has not got them.

    A bench that wants the same ones meanwhile waits for them. Recordings of the same seed by
    another simulator or model are removed after a day.
    """
    folder = cache_folder() / "horizon"
    prefix = f"{recording.task}-{recording.seed}-"
    path = folder / (prefix + _key(recording))
    with _alone(folder / f".{path.name}.lock"):
        if (path / MANIFEST).is_file():
            return path
        for other in folder.glob(prefix + "*"):
            if other.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(other, ignore_errors=True)
        run_command(
            "collect", "--task", recording.task, "--out", str(path),
            "--episodes", str(recording.episodes), "--steps", str(recording.steps),
            "--seed", str(recording.seed), "--mixture", recording.mixture,
            *(("--model", recording.model) if recording.model else ()),
        )  # fmt: skip
    return path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in this block; a process that dies leaves it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def statistics_folder(
    task: str, bundle: Path, model_hash: str, horizon: int, episodes: int = STATISTICS_EPISODES
) -> Path:
    """Episodes that tell how latents are distributed; ``bundle`` plans in a part of them."""
    return _recorded(task, bundle, model_hash, horizon, episodes, STATISTICS_SEED)


def heldout_folder(
    task: str,
    bundle: Path,
    model_hash: str,
    horizon: int,
    seed: int,
    episodes: int = HELDOUT_EPISODES,
) -> Path:
    """Episodes to be judged on, for one of the bench's seeds."""
    return _recorded(task, bundle, model_hash, horizon, episodes, HELDOUT_SEED + seed)


def decoder_folder(task: str) -> Path:
    """Short episodes of many scenes, the same for every model."""
    steps, episodes = DECODER_STEPS, DECODER_EPISODES
    return record(Recording(task, DECODER_SEED, episodes, steps, WITHOUT_PLANNER))


def _recorded(
    task: str, bundle: Path, model_hash: str, horizon: int, episodes: int, seed: int
) -> Path:
    steps = horizon + SPARE_STEPS
    return record(Recording(task, seed, episodes, steps, MIXTURE, str(bundle), model_hash))


def run_command(*arguments: str) -> None:
    """Run `sdiwm ARGUMENTS` in another process, showing its progress.

    Raises:
        SdiwmError: it failed; its own sentence is on the screen.
    """
    code = "import sys; from sdiwm_model.cli import main; sys.exit(main())"
    _run([sys.executable, "-c", code, *arguments], f"`sdiwm {arguments[0]}`")


def closed_loop(
    task: str, bundle: Path, backend: str, episodes: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Success of the same weights, and the share of the oracle's return where there is one."""
    block = control(task, [bundle], backend, episodes, seeds)
    return {key: block[key] for key in ("success", "return_ratio") if key in block}


def control(
    task: str,
    bundles: Sequence[Path],
    backend: str,
    episodes: int,
    seeds: Sequence[int],
    replan: str = "tick",
) -> dict[str, Any]:
    """The task's block of `sdiwm bench control`, of bundles of several training seeds.

    Args:
        replan: "tick" or "step", how often a fresh plan is made.
    """
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        report = Path(folder) / "control.json"
        run_command(
            "bench", "control", "--task", task, "--backend", backend, "--model",
            *map(str, bundles), "--episodes", str(episodes), "--heldout-episodes", "0",
            "--seeds", *map(str, seeds), "--replan", replan, "--json", str(report),
        )  # fmt: skip
        block: dict[str, Any] = json.loads(report.read_text())["results"][task]
    return block


def replay(data: Path, out: Path, steps: int, errors: dict[str, float], seed: int) -> None:
    """Replay recorded actions from perturbed states in the simulator; see `sdiwm_sim.replay`."""
    command = [sys.executable, "-m", f"{SIMULATOR}.replay", str(data), "--out", str(out)]
    command += ["--steps", str(steps), "--seed", str(seed)]
    command += [f"--error={name}={value}" for name, value in errors.items()]
    _run(command, "the simulator's replay")


def _run(command: Sequence[str], name: str) -> None:
    if importlib.util.find_spec(SIMULATOR) is None:
        raise SdiwmError("the simulator is not installed: name folders with --data, --train-data")
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SdiwmError(f"{name} failed; the reason is above")


def _key(recording: Recording) -> str:
    """Of what is asked for and of the simulator's sources: other pictures, other key."""
    digest = hashlib.sha256(repr(astuple(recording)).encode())
    spec = importlib.util.find_spec(SIMULATOR)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for name in (
            "task.py",
            "collect.py",
            "behaviours.py",
            "rendering.py",
            "tasks/*",
            "assets/*",
        ):
            for path in sorted(Path(root).glob(name)):
                if path.is_file():
                    digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
