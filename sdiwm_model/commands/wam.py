"""`sdiwm wam`: from demonstrations to a world-action model on a bundle's frozen encoder."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed

HELP = "train a world-action model on a bundle's encoder; goes on where a stopped run left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm wam`."""
    parser.add_argument(
        "--bundle", type=Path, required=True, help="bundle whose frozen encoder it stands on"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True,
        help="folders with demonstrations: `sdiwm collect --mixture demonstration=1`",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--teacher", type=Path, metavar="DIR",
        help="--out of a finished run with a larger size, of the same data: learn from it too",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="of weights and batches")
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help="YAML file of what differs from config/wam/default.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE",
        help="change settings, e.g. updates=500 size.depth=3; the last word",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train, then write the folder wam, for the bundle."""
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.wam.export import export_wam
    from sdiwm_model.wam.settings import configure
    from sdiwm_model.wam.training import train_wam
    from sdiwm_model.wam.weights import FLOAT

    config = configure(args.set, args.config)
    train_wam(args.bundle, args.data, args.out, config, args.seed, args.teacher)
    export_wam(args.out, read_manifest(args.bundle), (FLOAT,))
    print(f"wrote {args.out / 'wam'}; next: copy it into {args.bundle}")
    return 0
