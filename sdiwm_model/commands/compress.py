"""`sdiwm compress`: fine-tune a trained run for its integers, where calibration is not enough."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

HELP = "fine-tune a trained run through its int8 rounding; goes on where a stopped one left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm compress`."""
    parser.add_argument("--model", type=Path, required=True, help="folder that `train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run to write")
    parser.add_argument("--updates", type=int, default=300, metavar="N", help="of the weights")
    parser.add_argument("--seed", type=seed, default=0, help="of rollouts and batches")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, and write a run with an int8 engine."""
    if args.updates < 1:
        raise SdiwmError(f"--updates is {args.updates}: use 1 or more")
    from sdiwm_model.export.fine_tuned import compress_run

    about = compress_run(args.model, args.out, args.updates, args.seed)
    if about["loss"]:
        print("loss {:.2e} -> {:.2e}".format(*about["loss"]))
    print(f"wrote {args.out}; next: sdiwm export --model {args.out} --out DIR")
    return 0
