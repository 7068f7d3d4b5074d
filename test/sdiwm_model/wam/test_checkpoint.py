"""Which folders are taken for a world-action model, and which are refused in words."""

import json
from dataclasses import replace

import pytest
import torch

from sdiwm_model.checkpoint import Manifest, read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.wam.checkpoint import FOLDER, MANIFEST, WEIGHTS, WamManifest, load_wam, save_wam
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.sizes import size_for

MODEL = find_size("miniature")
BASE = Manifest(
    "reach", "miniature", MODEL, 0.04, ("red",), (1.0,), PlannerSettings(), {}, {"a": "b"}
)
SIZE = size_for(MODEL, "miniature")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return WorldActionModel(SIZE)


@pytest.fixture
def bundle(tmp_path, model):
    manifest = WamManifest(SIZE, BASE.model_hash, StepPair(0, 4, "prefill"), provenance={"seed": 3})
    save_wam(tmp_path / FOLDER, model, manifest)
    return tmp_path


def edit(bundle, **changes):
    path = bundle / FOLDER / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_saved_is_loaded(bundle, model):
    loaded, manifest = load_wam(bundle, BASE)
    assert manifest.size == SIZE and manifest.steps == StepPair(0, 4, "prefill")
    assert manifest.provenance == {"seed": 3}
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float())


def test_a_bundle_without_one_is_refused(tmp_path):
    with pytest.raises(SdiwmError, match="no world-action model: train one with 'sdiwm wam'"):
        load_wam(tmp_path, BASE)


def test_one_of_another_encoder_is_refused(bundle):
    with pytest.raises(SdiwmError, match=f"this one is {replace(BASE, files={}).model_hash}"):
        load_wam(bundle, replace(BASE, files={}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format_version": 3}, "newer release"),
        ({"kind": "policy"}, "not a world-action model"),
        ({"size": SIZE.to_dict() | {"chunk": 7}}, "'chunk' is 7"),
        ({"size": SIZE.to_dict() | {"action": 3}}, "action is 3, the bundle's is 4"),
        ({"steps": {"video": 1, "action": 0, "mode": "joint"}}, "action steps are 0"),
        ({"speed": 1}, "speed"),
        ({"size": SIZE.to_dict() | {"depth": 1}}, "another shape"),
    ],
)
def test_a_manifest_that_contradicts_is_refused(bundle, changes, told):
    edit(bundle, **changes)
    with pytest.raises(SdiwmError, match=told):
        load_wam(bundle, BASE)


def test_damaged_weights_are_refused(bundle):
    path = bundle / FOLDER / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SdiwmError, match="damaged or was changed"):
        load_wam(bundle, BASE)


def test_it_is_no_world_model(bundle):
    with pytest.raises(SdiwmError, match="world-action model.*give the bundle"):
        read_manifest(bundle / FOLDER)


def test_a_mode_that_training_left_out_is_refused():
    manifest = WamManifest(SIZE, "", modes=("policy", "prefill"))
    manifest.check_steps(StepPair(0, 1, "policy"))
    with pytest.raises(SdiwmError, match="not trained for mode 'joint': choose one of policy"):
        manifest.check_steps(StepPair(1, 1))
