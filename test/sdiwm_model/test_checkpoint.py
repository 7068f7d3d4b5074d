"""A bundle that is lost, cut short, tampered with or of another version is refused in words."""

import json
import shutil

import pytest

from sdiwm_model.checkpoint import MANIFEST, WEIGHTS, load_model, read_manifest
from sdiwm_model.cli import main
from sdiwm_model.errors import SdiwmError


@pytest.fixture
def bundle(random_bundle, tmp_path):
    return shutil.copytree(random_bundle, tmp_path / "bundle")


def change(bundle, **fields):
    content = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps(content | fields))


def test_a_sound_bundle_is_read_whole(bundle):
    manifest = read_manifest(bundle)
    assert set(manifest.files) == {p.name for p in bundle.iterdir()} - {MANIFEST}
    assert len(manifest.model_hash) == 16
    model, _ = load_model(bundle)
    assert not model.training


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SdiwmError, match="no model bundle at .*nowhere"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [WEIGHTS, "engine.safetensors", "vision.onnx"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(SdiwmError, match=f"{name} is missing"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", [WEIGHTS, "engine.safetensors", "step.onnx"])
def test_one_flipped_bit_is_noticed(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(SdiwmError, match=f"{name} is damaged or was changed"):
        read_manifest(bundle)


def test_a_truncated_weights_file_is_refused_by_every_back_end(bundle, capsys):
    content = (bundle / WEIGHTS).read_bytes()
    (bundle / WEIGHTS).write_bytes(content[: len(content) // 2])
    for backend in ("torch", "onnx", "native"):
        arguments = ["run", "--model", str(bundle), "--backend", backend, "--episodes", "1"]
        assert main(arguments) == 2
        assert WEIGHTS in capsys.readouterr().err


def test_another_format_version_is_refused_with_both_numbers(bundle):
    change(bundle, format_version=2)
    with pytest.raises(SdiwmError, match="format_version is 2, this release reads 1"):
        read_manifest(bundle)


@pytest.mark.parametrize("fields", [{"dt": 0.4}, {"action_limit": [15.0] * 4}, {"task": "other"}])
def test_a_field_that_was_edited_is_noticed(bundle, fields):
    change(bundle, **fields)
    with pytest.raises(SdiwmError, match="model.json is damaged or was edited"):
        read_manifest(bundle)


def test_one_flipped_bit_of_the_manifest_is_noticed(bundle):
    content = bytearray((bundle / MANIFEST).read_bytes())
    content[content.index(b"1.5") + 2] ^= 1
    (bundle / MANIFEST).write_bytes(content)
    with pytest.raises(SdiwmError, match="model.json is damaged or was edited"):
        read_manifest(bundle)


@pytest.mark.parametrize("files", [[], "x", None])
def test_files_that_are_no_table_are_refused_in_words(bundle, files):
    change(bundle, files=files)
    with pytest.raises(SdiwmError, match="model.json: a field is missing or unknown"):
        read_manifest(bundle)


def test_hashes_that_were_edited_too_are_noticed(bundle):
    content = json.loads((bundle / MANIFEST).read_text())
    content["files"][WEIGHTS] = "0" * 64
    (bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(SdiwmError, match="model_hash does not match"):
        read_manifest(bundle)


@pytest.mark.parametrize("field", ["sizes", "planner", "goals", "dt"])
def test_a_missing_field_is_named(bundle, field):
    content = json.loads((bundle / MANIFEST).read_text())
    del content[field]
    (bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(SdiwmError, match=f"a field is missing or unknown.*{field}"):
        read_manifest(bundle)


def test_a_manifest_that_is_not_json_is_named(bundle):
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(SdiwmError, match="model.json is not valid JSON"):
        read_manifest(bundle)


def test_a_manifest_without_its_checksum_is_refused(bundle):
    content = json.loads((bundle / MANIFEST).read_text())
    del content["checksum"]
    content["action_limit"] = [9.0] * 4
    (bundle / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(SdiwmError, match="model.json is damaged or was edited"):
        read_manifest(bundle)
