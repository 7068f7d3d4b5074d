"""`sdiwm compress`: a run whose weights know their rounding, and its export."""

import shutil
from dataclasses import asdict

import pytest
from safetensors.numpy import save_file

from sdiwm_model.checkpoint import WEIGHTS, read_manifest, write_manifest
from sdiwm_model.cli import main
from sdiwm_model.compression import search
from sdiwm_model.compression.quantised_model import load_engine
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


def test_a_fine_tuned_run_is_exported_with_its_own_engine(run, tmp_path, capsys):
    out, bundle = tmp_path / "tuned", tmp_path / "bundle"
    arguments = ["--model", str(run), "--out", str(out), "--updates", "3"]
    assert main(["compress", *arguments]) == 0
    assert "sdiwm export --model" in capsys.readouterr().out
    about = read_manifest(out).provenance["compress"]
    assert about["updates"] == 3
    assert about["of"] == read_manifest(run).model_hash
    assert main(["export", "--model", str(out), "--out", str(bundle)]) == 0
    engine = "engine.safetensors"
    assert (bundle / engine).read_bytes() == (out / engine).read_bytes()
    assert load_engine(bundle / engine).latent == 32


def test_what_cannot_be_fine_tuned_is_refused(run, random_bundle, tmp_path, capsys):
    def refused(model, out, *more):
        assert main(["compress", "--model", str(model), "--out", str(out), *more]) == 2
        return capsys.readouterr().err

    assert "must be a folder other than --model" in refused(run, run)
    assert "calibration.safetensors is missing" in refused(random_bundle, tmp_path / "out")
    assert "--updates is 0" in refused(run, tmp_path / "out", "--updates", "0")
    assert not (tmp_path / "out").exists()
