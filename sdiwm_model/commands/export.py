"""`sdiwm export`: from a float model to everything that a robot runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed

HELP = "turn a trained run into a deployable bundle: ONNX graphs and the int8 engine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm export`."""
    parser.add_argument("--model", type=Path, required=True, help="folder that `train` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument("--seed", type=seed, default=0, help="of the calibration rollouts")


def run(args: argparse.Namespace) -> int:
    """Write the bundle and say how far its graphs are from torch."""
    from sdiwm_model.export.bundle import export_bundle

    manifest, errors = export_bundle(args.model, args.out, args.seed)
    for name, error in errors.items():
        print(f"{name}.onnx: largest difference from torch {error:.1e}")
    print(f"wrote {args.out}, model hash {manifest.model_hash}")
    return 0
