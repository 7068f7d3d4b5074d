from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.onnx import OPSET, TOLERANCE, export_onnx
from sdiwm_model.runtime.session import open_session
from sdiwm_model.sizes import find_size
from sdiwm_model.world_model import WorldModel

NAMES = ["vision", "fusion", "step", "heads", "prior", "language"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(1)
    model = WorldModel(replace(find_size("miniature"), prior=16, ensemble=2)).train()
    return folder, model, export_onnx(folder, model)


def test_every_graph_is_written_and_close_to_torch(exported):
    folder, _, errors = exported
    assert sorted(errors) == sorted(NAMES)
    assert all(error <= TOLERANCE for error in errors.values())
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.onnx" for name in NAMES)


def test_the_opset_is_the_stated_one(exported):
    folder, _, _ = exported
    for name in NAMES:
        assert {o.version for o in onnx.load(folder / f"{name}.onnx").opset_import} == {OPSET}


def test_a_model_in_training_is_still_in_training_after_its_export(exported):
    assert exported[1].training


def test_step_takes_any_number_of_candidates(exported):
    folder, model, _ = exported
    session = open_session(folder / "step.onnx")
    for count in (1, 2, 33, 700):
        z, a = np.zeros((count, 32), np.float32), np.zeros((count, 4), np.float32)
        outputs = session.run(None, {"z": z, "a": a, "c": np.zeros((1, 16), np.float32)})
        assert [o.shape for o in outputs] == [(count, 32), (count,), (count,), (count,)]


def test_damaged_weights_are_refused_and_nothing_is_written(tmp_path):
    model = WorldModel(find_size("miniature"))
    with torch.no_grad():
        model.vision.conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(SdiwmError, match="vision.onnx differs from torch"):
        export_onnx(tmp_path, model)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_graph_is_refused_in_words(tmp_path):
    graph = tmp_path / "step.onnx"
    graph.write_bytes(b"not a graph")
    with pytest.raises(SdiwmError, match="step.onnx cannot be opened"):
        open_session(graph)
