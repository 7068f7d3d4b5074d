"""From a float model to everything that a robot runs.

Without an action: turn a trained run into a deployable bundle, ONNX graphs and the int8 engine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

HELP = "turn a trained run into a deployable bundle, or an ONNX file into C++"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm export` and `sdiwm export cpp`."""
    parser.add_argument("--model", type=Path, help="folder that `train` wrote")
    parser.add_argument("--out", type=Path, help="folder of the bundle to write")
    parser.add_argument("--seed", type=seed, default=0, help="of the calibration rollouts")
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION")
    compiled = "compile an ONNX network to integer C++17 for a microcontroller"
    cpp = actions.add_parser("cpp", help=compiled, description=compiled)
    cpp.add_argument("--onnx", type=Path, required=True, help="float network")
    cpp.add_argument(
        "--calibration", type=Path, required=True,
        help="examples of its inputs: an .npz file with an array (N, ...) for each, a folder of "
        "episodes for a network that sees pictures, or ranges (.json) that an earlier export wrote",
    )  # fmt: skip
    cpp.add_argument("--out", type=Path, required=True, help="folder to write")
    cpp.add_argument("--name", help="namespace and file name (default: that of the ONNX file)")
    cpp.add_argument(
        "--ram", type=int, metavar="BYTES",
        help="memory allowed: early layers run row by row only as far as that needs (default: as "
        "little memory as possible)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the bundle or the C++, and say what came of it."""
    return _cpp(args) if args.action == "cpp" else _bundle(args)


def _bundle(args: argparse.Namespace) -> int:
    from sdiwm_model.export.bundle import export_bundle

    if args.model is None or args.out is None:
        raise SdiwmError("sdiwm export needs --model RUN and --out FOLDER, or the action cpp")
    manifest, errors = export_bundle(args.model, args.out, args.seed)
    for name, error in errors.items():
        print(f"{name}.onnx: largest difference from torch {error:.1e}")
    print(f"wrote {args.out}, model hash {manifest.model_hash}")
    return 0


def _cpp(args: argparse.Namespace) -> int:
    from sdiwm_model.export.compiler.constants import identifier
    from sdiwm_model.export.compiler.export import compile_onnx, write_network
    from sdiwm_model.export.compiler.report import table

    made, ranges = compile_onnx(args.onnx, args.calibration, args.ram)
    name = args.name or identifier(args.onnx.stem)
    print(table(write_network(args.out, made, ranges, name)))
    print(f"wrote {args.out}: compile {name}.cpp with -I{args.out}, call sdiwm::{name}::run")
    return 0
