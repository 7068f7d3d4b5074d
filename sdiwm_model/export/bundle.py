"""A trained run becomes the folder that robots load: what `sdiwm export` does."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.checkpoint import (
    CARD,
    CARD_TEXT,
    MANIFEST,
    REMEDY,
    WEIGHTS,
    Manifest,
    load_model,
    read_manifest,
    write_manifest,
)
from sdiwm_model.compression.activations import Calibration
from sdiwm_model.compression.quantised_model import save_engine
from sdiwm_model.compression.search import quantise_for_control
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.encoder import ENCODER, quantise_vision
from sdiwm_model.export.onnx import OPSET, export_onnx
from sdiwm_model.export.sources import CPP
from sdiwm_model.training.finish import CALIBRATION, PICTURES

ENGINE = "engine.safetensors"
VISION = "vision.onnx"


def export_bundle(source: Path, out: Path, seed: int) -> tuple[Manifest, dict[str, float]]:
    """Write float weights, ONNX graphs, the int8 engine and encoder and a manifest into ``out``.

    A transformer dynamics gets no engine and no encoder, and a run without pictures for calibration
    (of an older release) no encoder: `complete_bundle` adds it. A run that `sdiwm compress` wrote
    keeps its engine. The folder appears whole or not at all; an older bundle there is replaced, but
    nothing else.

    Returns:
        The manifest, and the largest difference of every ONNX graph from torch.

    Raises:
        SdiwmError: ``source`` is no run, is damaged, or was exported before; ``out`` holds what
            is no bundle.
    """
    check_replaceable(out)
    model, manifest = load_model(source)
    calibration, pictures = read_calibration(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
        errors = export_onnx(folder, model)
        about: dict[str, object] = _versions() | {"seed": seed}
        if model.size.dynamics_kind == "gru":
            if (source / ENGINE).is_file():
                shutil.copyfile(source / ENGINE, folder / ENGINE)
            else:
                weights = {name: t.detach().numpy() for name, t in model.state_dict().items()}
                chosen = quantise_for_control(
                    weights, calibration, manifest.planner, seed, model.size.lipschitz
                )
                save_engine(chosen.model, folder / ENGINE)
                about["quantisation"] = chosen.describe()
            if pictures is not None and model.size.encoder != "vit":
                _write_encoder(folder, pictures)
        provenance = manifest.provenance | {"export": about}
        write_manifest(folder, replace(manifest, provenance=provenance))
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        folder.rename(out)
    return read_manifest(out), errors


def complete_bundle(folder: Path, calibration: Path) -> Manifest:
    """Write the int8 encoder of an exported bundle, or replace it; its hash changes.

    Args:
        calibration: pictures, as `export.compiler.examples.load_examples` reads them.

    Raises:
        SdiwmError: ``folder`` is no exported bundle with an engine, or its network or the pictures
            cannot be used.
    """
    from sdiwm_model.export.compiler.examples import load_examples
    from sdiwm_model.export.compiler.onnx_import import import_onnx

    manifest = read_manifest(folder)
    missing = [name for name in (VISION, ENGINE) if name not in manifest.files]
    if missing:
        raise SdiwmError(
            f"{folder} holds no {missing[0]}: name a bundle that `sdiwm export` wrote, of a model "
            "whose dynamics is a GRU"
        )
    (pictures,) = load_examples(calibration, import_onnx(folder / VISION)).values()
    _write_encoder(folder, pictures)
    provenance = manifest.provenance | {"encoder": {"calibration": str(calibration)}}
    write_manifest(folder, replace(manifest, provenance=provenance))
    return read_manifest(folder)


def _write_encoder(folder: Path, pictures: NDArray[Any]) -> None:
    from sdiwm_model.export.compiler.program_file import save_program

    save_program(quantise_vision(folder / VISION, pictures), folder / ENCODER)


def check_replaceable(out: Path) -> None:
    """Refuse a place for a bundle where something else would be lost.

    Raises:
        SdiwmError: ``out`` is a file, or holds what is no part of a bundle.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise SdiwmError(f"--out {out} is a file; name a folder")
    ours = {MANIFEST, WEIGHTS, ENGINE, ENCODER, CARD, CARD_TEXT, CPP}
    foreign = [p.name for p in out.iterdir() if p.name not in ours and p.suffix != ".onnx"]
    if foreign:
        raise SdiwmError(
            f"--out {out} holds {min(foreign)}, which is no part of a bundle and would be lost; "
            "name another folder"
        )


def _versions() -> dict[str, object]:
    """What the graphs were written with."""
    return {"opset": OPSET} | {name: version(name) for name in ("torch", "onnx", "onnxruntime")}


def read_calibration(source: Path) -> tuple[Calibration, NDArray[np.uint8] | None]:
    """What the engine is calibrated on, and pictures for the encoder where there are some.

    Raises:
        SdiwmError: the folder holds no calibration.
    """
    from safetensors.numpy import load_file

    path = source / CALIBRATION
    if not path.is_file():
        raise SdiwmError(
            f"{path} is missing: give --model a folder that 'sdiwm train' wrote, not an exported "
            f"bundle; {REMEDY}"
        )
    tensors = load_file(path)
    pictures = tensors.pop(PICTURES, None)
    return Calibration(**tensors), pictures
