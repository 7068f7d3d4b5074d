"""What is written when a world-action model is exported, and when nothing is."""

import json
from pathlib import Path

import onnx
import pytest
import torch

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.wam.checkpoint import FOLDER, WEIGHTS, WamManifest, read_wam_manifest, save_wam
from sdiwm_model.wam.export import export_wam
from sdiwm_model.wam.graph_builder import OPSET
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.sizes import size_for
from sdiwm_model.wam.switches import Switches
from sdiwm_model.wam.weights import FLOAT, GRAPHS

MODEL = find_size("miniature")
BASE = Manifest("reach", "miniature", MODEL, 0.04, ("red",), (1.0,), PlannerSettings(), {})
SIZE = size_for(MODEL, "miniature")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return WorldActionModel(SIZE)


@pytest.fixture
def bundle(tmp_path, model):
    save_wam(tmp_path / FOLDER, model, WamManifest(SIZE, BASE.model_hash))
    return tmp_path


@pytest.fixture
def exported(bundle):
    assert export_wam(bundle, BASE, (FLOAT,))[FLOAT] < 1e-4
    return bundle / FOLDER


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_graphs_hold_no_weights_and_state_their_opset(exported, model):
    told = json.loads((exported / GRAPHS).read_text())
    assert told["opset"] == OPSET
    files = sorted(exported.glob("*.onnx"))
    assert len(files) == len(told[FLOAT])
    for path in files:
        graph = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(str(path))
        assert {each.version for each in graph.opset_import} == {OPSET}
        absent = {x.name for x in graph.graph.initializer if x.external_data}
        assert absent == set(told[FLOAT][path.stem]) <= set(model.state_dict())
    assert sum(path.stat().st_size for path in files) < 200_000


def test_the_manifest_names_all_that_was_written(exported):
    manifest = read_wam_manifest(exported.parent, BASE)
    assert sorted([*manifest.files, "wam.json"]) == names(exported)
    assert manifest.provenance["graphs"]["opset"] == OPSET


def test_damaged_weights_are_noticed_and_nothing_is_written(bundle, model):
    with torch.no_grad():
        model.video_expert.layers[0].read.weight[0, 0] = float("nan")
    save_wam(bundle / FOLDER, model, WamManifest(SIZE, BASE.model_hash))
    before = names(bundle / FOLDER)
    with pytest.raises(SdiwmError, match="chunks differ from torch's by nan"):
        export_wam(bundle, BASE, (FLOAT,))
    assert names(bundle / FOLDER) == before and names(bundle) == [FOLDER]


def test_a_stopped_export_leaves_a_model_that_can_be_exported(exported, monkeypatch):
    move = Path.replace

    def stop(path, target):
        if path.suffix == ".onnx":
            raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            export_wam(exported.parent, BASE, (FLOAT,))
    read_wam_manifest(exported.parent, BASE)
    with pytest.raises(SdiwmError, match="no ONNX graphs"):
        OnnxWamEngine(exported, SIZE)
    export_wam(exported.parent, BASE, (FLOAT,))
    OnnxWamEngine(exported, SIZE)


def test_a_folder_without_graphs_is_refused(bundle):
    with pytest.raises(SdiwmError, match="no ONNX graphs: make them with 'sdiwm export wam'"):
        OnnxWamEngine(bundle / FOLDER, SIZE)


def test_graphs_of_another_precision_are_not_taken_for_those_asked_for(exported):
    with pytest.raises(SdiwmError, match="no graphs of precision 'int8'"):
        OnnxWamEngine(exported, SIZE, Switches(precision="int8"))


def test_missing_weights_are_told(exported):
    (exported / WEIGHTS).unlink()
    with pytest.raises(SdiwmError, match="wam.safetensors is missing"):
        OnnxWamEngine(exported, SIZE)


def test_a_graph_that_another_release_did_not_write_is_told(exported):
    told = json.loads((exported / GRAPHS).read_text())
    del told[FLOAT]["follow"]
    (exported / GRAPHS).write_text(json.dumps(told))
    with pytest.raises(SdiwmError, match="no graph 'follow': make them with 'sdiwm export wam'"):
        OnnxWamEngine(exported, SIZE)
