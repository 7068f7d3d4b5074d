"""`sdiwm train`: from folders of episodes to a float model."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed

HELP = "train a world model on folders of episodes; goes on where a stopped run left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm train`."""
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders that `sdiwm collect` wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--init", type=Path, help="run or bundle whose weights to start from")
    parser.add_argument(
        "--vision", type=Path,
        help="run or bundle whose image branch to start from, and no more; or what `sdiwm "
        "pretrain` wrote",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="of weights and batches")
    parser.add_argument("--text-encoder", type=Path, help="folder of a text encoder to use")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file of what differs from the settings of the data's task, config/training/",
    )
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change settings, e.g. world_steps=1000 size.latent=16; the last word",
    )


def run(args: argparse.Namespace) -> int:
    """Train, then write the run's bundle (weights, calibration, model.json)."""
    from sdiwm_model.training.checks import open_data
    from sdiwm_model.training.config import configure
    from sdiwm_model.training.run import train

    task = open_data(args.data).task["name"]
    train(
        folders=args.data,
        out=args.out,
        config=configure(args.set, task, args.config),
        seed=args.seed,
        init=args.init,
        vision=args.vision,
        text_encoder=args.text_encoder,
    )
    print(f"wrote {args.out}; next: sdiwm export --model {args.out} --out DIR")
    return 0
