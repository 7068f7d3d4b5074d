"""Values on the command line that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.evaluation.study import Folders
    from sdiwm_model.runtime.protocols import Runtime
    from sdiwm_model.runtime.wam_settings import WamSettings


def add_recordings(parser: argparse.ArgumentParser) -> None:
    """Add what says which episodes a bench judges models on; see `recording_folders`."""
    parser.add_argument("--horizon", type=int, default=100, metavar="T", help="model steps")
    parser.add_argument(
        "--train-data", type=Path, metavar="DIR", help="training episodes, for the statistics"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR", help="held-out episodes, a folder a seed"
    )
    parser.add_argument(
        "--episodes", type=int, default=60, metavar="N", help="held-out, recorded for each seed"
    )
    parser.add_argument(
        "--statistics-episodes", type=int, default=100, metavar="N",
        help="recorded for the statistics",
    )  # fmt: skip


def recording_folders(args: argparse.Namespace, bundle: Path, runtime: Runtime) -> Folders:
    """Episodes named on the command line, else recordings from the cache, made where needed.

    Raises:
        SdiwmError: numbers that make no sense, or not a folder a seed.
    """
    from sdiwm_model.evaluation.recordings import heldout_folder, statistics_folder
    from sdiwm_model.evaluation.study import Folders

    if args.horizon < 1 or args.episodes < 2 or args.statistics_episodes < 2:
        raise SdiwmError("--horizon must be 1 or more, the numbers of episodes 2 or more")
    if args.data and len(args.data) != len(args.seeds):
        raise SdiwmError(f"--data names {len(args.data)} folders for {len(args.seeds)} --seeds")
    about = args.task, bundle, runtime.manifest.model_hash, args.horizon
    training = args.train_data or statistics_folder(*about, args.statistics_episodes)
    heldout = args.data or [heldout_folder(*about, seed, args.episodes) for seed in args.seeds]
    return Folders(training, heldout, args.seeds)


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add --port and --pil, which say where the back end `mcu` runs."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--port", metavar="PORT",
        help="for the back end mcu: the microcontroller's serial device, or socket://HOST:PORT, or "
        "sil, the same firmware on this machine: the chip's bits, much faster, without its times",
    )  # fmt: skip
    group.add_argument(
        "--pil", nargs="?", const="mps2-an500", metavar="BOARD",
        help="for the back end mcu: an emulated chip (this is the default without --port); "
        "mps2-an500 is a Cortex-M7, mps3-an547 a Cortex-M55",
    )  # fmt: skip


def chosen_port(args: argparse.Namespace) -> str | None:
    """The port that `load_runtime` takes."""
    return f"pil:{args.pil}" if args.pil else args.port


BACKEND_HELP = "torch, onnx, native, wam, wam+mppi or mcu"


def add_wam(parser: argparse.ArgumentParser) -> None:
    """Add --wam and --delay-ms, which say how the back ends `wam` and `wam+mppi` make chunks."""
    parser.add_argument(
        "--wam", nargs="+", default=[], metavar="NAME=VALUE",
        help="for the back ends wam and wam+mppi: what is asked of the world-action model, as in "
        "steps=1x2 (video x action) mode=joint every=1 proposals=4",
    )  # fmt: skip
    parser.add_argument(
        "--delay-ms", type=float, default=0.0, metavar="MS",
        help="for the same: every chunk is made to come so much later (default: 0)",
    )  # fmt: skip


def chosen_wam(args: argparse.Namespace) -> WamSettings:
    """What `load_runtime` takes."""
    from sdiwm_model.runtime.wam_settings import read_wam_settings

    return read_wam_settings(args.wam, args.delay_ms)


def seed(text: str) -> int:
    """Return a seed, an integer from 0 to 2**32 - 1."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not an integer from 0 to 2**32 - 1")
    return value
