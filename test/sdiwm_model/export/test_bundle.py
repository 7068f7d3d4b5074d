"""`sdiwm export` replaces an older bundle and nothing else, and adds encoders to bundles."""

import shutil

import numpy as np
import pytest

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.cli import main
from sdiwm_model.compression.quantised_model import load_engine
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import export_bundle
from sdiwm_model.export.compiler import integers
from sdiwm_model.export.encoder import ENCODER, load_encoder
from sdiwm_model.runtime.onnx import OnnxRuntime


def test_a_folder_that_holds_anything_else_is_left_alone(random_bundle, tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    with pytest.raises(SdiwmError, match=r"holds thesis\.tex, which is no part of a bundle"):
        export_bundle(random_bundle, tmp_path, seed=0)
    with pytest.raises(SdiwmError, match="is a file; name a folder"):
        export_bundle(random_bundle, thesis, seed=0)
    assert thesis.read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [thesis]


def test_an_encoder_is_added_to_a_bundle(random_bundle, tmp_path, capsys):
    bundle = tmp_path / "bundle"
    shutil.copytree(random_bundle, bundle)
    engine = load_engine(bundle / "engine.safetensors")
    assert load_encoder(bundle, engine) is None
    pictures = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    np.savez(tmp_path / "examples.npz", image=pictures)
    command = ["export", "encoder", "--bundle", str(bundle), "--calibration"]
    assert main([*command, str(tmp_path / "examples.npz")]) == 0
    manifest = read_manifest(bundle)
    assert manifest.model_hash in capsys.readouterr().out
    assert manifest.model_hash != read_manifest(random_bundle).model_hash
    assert set(manifest.files) == set(read_manifest(random_bundle).files) | {ENCODER}
    program = load_encoder(bundle, engine).program
    output = program.tensors[program.outputs[0]]
    runtime = OnnxRuntime(bundle)
    for picture in pictures:
        (found,) = integers.run(program, {"image": picture})[output.name].reshape(1, -1)
        error = np.abs(found * output.scale - runtime.encode_image(picture))  # of a range of 2
        assert error.max() < 0.1 and error.mean() < 0.02


def test_what_is_no_bundle_gets_no_encoder(random_bundle, tmp_path, capsys):
    command = ["export", "encoder", "--calibration", str(tmp_path), "--bundle"]
    assert main([*command, str(tmp_path / "nothing")]) == 2
    assert "no model bundle at" in capsys.readouterr().err
    assert main([*command, str(random_bundle)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not (random_bundle / ENCODER).exists()
