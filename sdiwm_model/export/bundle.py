"""A trained run becomes the folder that robots load: what `sdiwm export` does."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from sdiwm_model.checkpoint import (
    MANIFEST,
    REMEDY,
    WEIGHTS,
    Manifest,
    load_model,
    read_manifest,
    write_manifest,
)
from sdiwm_model.compression.activations import Calibration
from sdiwm_model.compression.quantise import quantise
from sdiwm_model.compression.quantised_model import save_engine
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.onnx import OPSET, export_onnx
from sdiwm_model.training.finish import CALIBRATION

ENGINE = "engine.safetensors"


def export_bundle(source: Path, out: Path, seed: int) -> tuple[Manifest, dict[str, float]]:
    """Write float weights, ONNX graphs, the int8 engine and a manifest into ``out``.

    A transformer dynamics gets no engine. The folder appears whole or not at all; an older bundle
    there is replaced, but nothing else.

    Returns:
        The manifest, and the largest difference of every ONNX graph from torch.

    Raises:
        SdiwmError: ``source`` is no run, is damaged, or was exported before; ``out`` holds what
            is no bundle.
    """
    _check_replaceable(out)
    model, manifest = load_model(source)
    calibration = _calibration(source / CALIBRATION)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
        errors = export_onnx(folder, model)
        if model.size.dynamics_kind == "gru":
            weights = {name: t.detach().numpy() for name, t in model.state_dict().items()}
            save_engine(quantise(weights, calibration, seed), folder / ENGINE)
        provenance = manifest.provenance | {"export": _versions() | {"seed": seed}}
        write_manifest(folder, replace(manifest, provenance=provenance))
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        folder.rename(out)
    return read_manifest(out), errors


def _check_replaceable(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise SdiwmError(f"--out {out} is a file; name a folder")
    ours = {MANIFEST, WEIGHTS, ENGINE}
    foreign = [p.name for p in out.iterdir() if p.name not in ours and p.suffix != ".onnx"]
    if foreign:
        raise SdiwmError(
            f"--out {out} holds {min(foreign)}, which is no part of a bundle and would be lost; "
            "name another folder"
        )


def _versions() -> dict[str, object]:
    """What the graphs were written with."""
    return {"opset": OPSET} | {name: version(name) for name in ("torch", "onnx", "onnxruntime")}


def _calibration(path: Path) -> Calibration:
    from safetensors.numpy import load_file

    if not path.is_file():
        raise SdiwmError(
            f"{path} is missing: give --model a folder that 'sdiwm train' wrote, not an exported "
            f"bundle; {REMEDY}"
        )
    return Calibration(**load_file(path))
