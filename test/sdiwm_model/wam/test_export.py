"""What is written when a world-action model is exported, and when nothing is."""

import json

import onnx
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.checkpoint import WEIGHTS, WamManifest, save_wam
from sdiwm_model.wam.export import export_graphs
from sdiwm_model.wam.graph_builder import OPSET
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.onnx_engine import OnnxWamEngine
from sdiwm_model.wam.sizes import WAM_SIZES
from sdiwm_model.wam.switches import Switches
from sdiwm_model.wam.weights import GRAPHS

SIZE = WAM_SIZES["miniature"]


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = WorldActionModel(SIZE)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
    save_wam(tmp_path / "wam", model, WamManifest(SIZE, "base"))
    return tmp_path / "wam", model.eval()


def test_graphs_hold_no_weights_and_state_their_opset(saved):
    folder, model = saved
    assert export_graphs(folder, model)["float"] < 1e-4
    told = json.loads((folder / GRAPHS).read_text())
    assert told["opset"] == OPSET
    files = sorted(folder.glob("*.onnx"))
    assert len(files) == len(told["float"])
    for path in files:
        graph = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(str(path))
        assert {each.version for each in graph.opset_import} == {OPSET}
        absent = {x.name for x in graph.graph.initializer if x.external_data}
        assert absent == set(told["float"][path.stem]) <= set(model.state_dict())
    assert sum(path.stat().st_size for path in files) < 200_000


def test_weights_that_are_not_those_of_the_model_are_noticed_and_nothing_is_written(saved):
    folder, model = saved
    before = sorted(folder.iterdir())
    with torch.no_grad():
        model.actions.write.weight += torch.randn_like(model.actions.write.weight)
    with pytest.raises(SdiwmError, match="chunks differ from torch's"):
        export_graphs(folder, model)
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_graphs_is_refused(saved):
    with pytest.raises(SdiwmError, match="no ONNX graphs: make them with 'sdiwm export wam'"):
        OnnxWamEngine(saved[0], SIZE)


def test_graphs_of_another_precision_are_not_taken_for_those_asked_for(saved):
    folder, model = saved
    export_graphs(folder, model)
    with pytest.raises(SdiwmError, match="no graphs of precision 'int8'"):
        OnnxWamEngine(folder, SIZE, Switches(precision="int8"))


def test_missing_weights_are_told(saved):
    folder, model = saved
    export_graphs(folder, model)
    (folder / WEIGHTS).unlink()
    with pytest.raises(SdiwmError, match="wam.safetensors is missing"):
        OnnxWamEngine(folder, SIZE)


def test_a_graph_that_another_release_did_not_write_is_told(saved):
    folder, model = saved
    export_graphs(folder, model)
    told = json.loads((folder / GRAPHS).read_text())
    del told["float"]["follow"]
    (folder / GRAPHS).write_text(json.dumps(told))
    with pytest.raises(SdiwmError, match="no graph 'follow': make them with 'sdiwm export wam'"):
        OnnxWamEngine(folder, SIZE)
