"""`sdiwm export wam`: the graphs of a bundle's world-action model in every precision."""

import json
import shutil

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.wam.checkpoint import FOLDER, read_wam_manifest
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.switches import PRECISIONS, Switches


@pytest.fixture(scope="module")
def exported(wam_bundle, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("exported") / "bundle"
    shutil.copytree(wam_bundle, bundle)
    assert cli.main(["export", "wam", "--bundle", str(bundle)]) == 0
    return bundle


def test_the_bundle_is_still_whole_and_says_how_far_its_graphs_are_from_torch(exported):
    manifest = read_wam_manifest(exported, read_manifest(exported))
    errors = manifest.provenance["graphs"]["errors"]
    assert set(errors) == set(PRECISIONS)
    assert errors["float"] < 1e-4 < errors["int8"] < 0.1


def test_int8_weights_are_stored_once(exported):
    folder = exported / FOLDER
    told = json.loads((folder / "graphs.json").read_text())["int8"]
    rounded = [name for names in told.values() for name in names if name.endswith("_quantized")]
    assert len(rounded) > len(set(rounded)) > 0
    assert (folder / "wam.int8.safetensors").stat().st_size < (
        folder / "wam.safetensors"
    ).stat().st_size


def test_every_precision_makes_nearly_the_same_chunk(exported):
    size = read_wam_manifest(exported, read_manifest(exported)).size
    draw = np.random.default_rng(0)
    o = draw.standard_normal((4, size.observation), np.float32)
    c = draw.standard_normal(size.conditioning, np.float32)
    noise = draw.standard_normal((size.chunk, size.action), np.float32)
    chunks = []
    for precision in PRECISIONS:
        engine = OnnxWamEngine(exported / FOLDER, size, Switches(precision=precision))
        for each in o:
            engine.observe(each)
        chunks.append(engine.chunk(c, noise, StepPair(1, 2)))
    whole, half, eighth = chunks
    assert 0.0 < np.abs(half - whole).max() < 1e-2
    assert 0.0 < np.abs(eighth - whole).max() < 0.1


def test_a_bundle_without_a_world_action_model_is_refused(random_bundle, capsys):
    assert cli.main(["export", "wam", "--bundle", str(random_bundle)]) == 2
    assert "no world-action model" in capsys.readouterr().err
