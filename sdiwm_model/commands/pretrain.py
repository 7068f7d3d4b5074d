"""`sdiwm pretrain`: from video without actions to an image encoder that robot training starts from.

Started by torchrun or Ray Train, the ranks share the work.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.pretraining.settings import PretrainingConfig

HELP = "train an image encoder on video without actions; goes on where a stopped run left off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm pretrain`."""
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True,
        help="folders that `sdiwm data import` or `sdiwm collect` wrote",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seed", type=seed, default=0, help="of weights, order and masks")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file of what differs from config/pretraining/default.yaml, as student.yaml "
        "beside it",
    )
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change settings, e.g. updates=1000 size.patch=14; the last word",
    )
    parser.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="ranks on the Ray cluster that RAY_ADDRESS names, instead of this process",
    )


def run(args: argparse.Namespace) -> int:
    """Pre-train, then write encoder.safetensors and pretraining.json."""
    from sdiwm_model.pretraining.distributed import joined
    from sdiwm_model.pretraining.run import COLLAPSED, pretrain_encoder
    from sdiwm_model.pretraining.settings import configure

    config = configure(args.set, args.config)
    if args.ray_workers is not None:
        rank, chief = _on_ray(args, config), True
    else:
        with joined() as team:
            rank = pretrain_encoder(team, args.data, args.out, config, args.seed)
            chief = team.rank == 0
    if chief:
        if rank < COLLAPSED:
            print(
                f"note: the encoder has collapsed: the effective rank of its tokens is {rank:.1f}"
            )
        print(f"wrote {args.out}, effective rank {rank:.1f}; next: sdiwm train --vision {args.out}")
    return 0


def _on_ray(args: argparse.Namespace, config: PretrainingConfig) -> float:
    from sdiwm_model.pretraining.ray_train import pretrain_on_ray

    if args.ray_workers < 1:
        raise SdiwmError(f"--ray-workers is {args.ray_workers}: ask for 1 or more")
    return pretrain_on_ray(args.data, args.out, config, args.seed, args.ray_workers)
