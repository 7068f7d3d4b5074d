"""A run whose weights know their rounding, and its export with the engine that it brings."""

import shutil
from dataclasses import asdict

import pytest
from safetensors.numpy import save_file

from sdiwm_model.checkpoint import WEIGHTS, read_manifest, write_manifest
from sdiwm_model.compression import search
from sdiwm_model.compression.quantised_model import load_engine
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import export_bundle
from sdiwm_model.export.fine_tuned import compress_run
from sdiwm_model.training.finish import CALIBRATION


@pytest.fixture
def run(random_bundle, calibration, tmp_path, monkeypatch):
    for name, value in {"CANDIDATES": {}, "ROUNDS": 1, "STARTS": 8, "SETS": 8}.items():
        monkeypatch.setattr(search, name, value)
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copyfile(random_bundle / WEIGHTS, folder / WEIGHTS)
    save_file(asdict(calibration), folder / CALIBRATION)
    write_manifest(folder, read_manifest(random_bundle))
    return folder


def test_a_fine_tuned_run_is_exported_with_its_own_engine(run, tmp_path):
    out, bundle = tmp_path / "tuned", tmp_path / "bundle"
    compress_run(run, out, updates=3, seed=0)
    about = read_manifest(out).provenance["fine_tune"]
    assert about["updates"] == 3
    assert about["of"] == read_manifest(run).model_hash
    export_bundle(out, bundle, seed=0)
    engine = "engine.safetensors"
    assert (bundle / engine).read_bytes() == (out / engine).read_bytes()
    assert load_engine(bundle / engine).latent == 32


def test_what_cannot_be_fine_tuned_is_refused(run, random_bundle, tmp_path):
    with pytest.raises(SdiwmError, match="must be a folder other than --model"):
        compress_run(run, run, 3, 0)
    with pytest.raises(SdiwmError, match=r"calibration.safetensors is missing"):
        compress_run(random_bundle, tmp_path / "out", 3, 0)
    assert not (tmp_path / "out").exists()
