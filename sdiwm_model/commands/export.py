"""From a float model to everything that a robot runs.

Without an action: turn a trained run into a deployable bundle, ONNX graphs and the int8 engine.
cpp      compile any ONNX network to integer C++17 for a microcontroller
encoder  add the int8 image encoder for microcontrollers to a bundle that was exported without
wam      the ONNX graphs of a bundle's world-action model, in every precision
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

HELP = "turn a trained run into a deployable bundle, or an ONNX file into C++"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sdiwm export` and of its actions."""
    parser.add_argument("--model", type=Path, help="folder that `train` wrote")
    parser.add_argument("--out", type=Path, help="folder of the bundle to write")
    parser.add_argument("--seed", type=seed, default=0, help="of the calibration rollouts")
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION")
    compiled = "compile an ONNX network to integer C++17 for a microcontroller"
    cpp = actions.add_parser("cpp", help=compiled, description=compiled)
    cpp.add_argument("--onnx", type=Path, required=True, help="network, float or quantised (QDQ)")
    cpp.add_argument(
        "--calibration", type=Path,
        help="examples of its inputs: an .npz file with an array (N, ...) for each, a folder of "
        "episodes for a network that sees pictures, or ranges (.json) that an earlier export "
        "wrote; not needed where the network is quantised already",
    )  # fmt: skip
    cpp.add_argument("--out", type=Path, required=True, help="folder to write")
    cpp.add_argument("--name", help="namespace and file name (default: that of the ONNX file)")
    cpp.add_argument(
        "--ram", type=int, metavar="BYTES",
        help="memory allowed: early layers run row by row only as far as that needs (default: as "
        "little memory as possible)",
    )  # fmt: skip
    added = "add the int8 image encoder to a bundle (one of an older run has none), or replace it"
    encoder = actions.add_parser("encoder", help=added, description=added)
    encoder.add_argument(
        "--bundle", type=Path, required=True, help="folder of the bundle; its hash changes"
    )
    encoder.add_argument(
        "--calibration", type=Path, required=True,
        help="pictures of its task: a folder of episodes that `sdiwm collect` wrote, or an .npz "
        "file with an array 'image' (N, H, W, 3)",
    )  # fmt: skip
    graphs = "write the ONNX graphs of a bundle's world-action model, in every precision"
    wam = actions.add_parser("wam", help=graphs, description=graphs)
    wam.add_argument(
        "--bundle", type=Path, required=True, help="folder of the bundle that holds it, in wam"
    )


def run(args: argparse.Namespace) -> int:
    """Write the bundle or the C++, and say what came of it."""
    actions = {"cpp": _cpp, "encoder": _encoder, "wam": _wam, None: _bundle}
    return actions[args.action](args)


def _bundle(args: argparse.Namespace) -> int:
    from sdiwm_model.export.bundle import ENGINE, export_bundle
    from sdiwm_model.export.encoder import ENCODER

    if args.model is None or args.out is None:
        raise SdiwmError("sdiwm export needs --model RUN and --out FOLDER, or the action cpp")
    manifest, errors = export_bundle(args.model, args.out, args.seed)
    for name, error in errors.items():
        print(f"{name}.onnx: largest difference from torch {error:.1e}")
    print(f"wrote {args.out}, model hash {manifest.model_hash}")
    if ENGINE in manifest.files and ENCODER not in manifest.files:
        print("no encoder for microcontrollers: add it with `sdiwm export encoder`")
    return 0


def _encoder(args: argparse.Namespace) -> int:
    from sdiwm_model.export.bundle import complete_bundle
    from sdiwm_model.export.encoder import ENCODER

    manifest = complete_bundle(args.bundle, args.calibration)
    print(f"wrote {args.bundle / ENCODER}, model hash {manifest.model_hash}")
    return 0


def _wam(args: argparse.Namespace) -> int:
    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.wam.export import export_wam

    for precision, error in export_wam(args.bundle, read_manifest(args.bundle)).items():
        print(f"{precision}: chunks differ from torch's by {error:.1e} of the action's limit")
    print(f"wrote {args.bundle / 'wam'}")
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
