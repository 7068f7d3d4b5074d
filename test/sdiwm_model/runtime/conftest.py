import pytest
import torch

from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
from sdiwm_model.export.onnx import export_onnx
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.text_encoder import TextEncoder
from sdiwm_model.world_model import WorldModel


@pytest.fixture(scope="session")
def float_bundle(tmp_path_factory):
    """A bundle of random weights without the integer engine."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    model = WorldModel(find_size("reach_student"))
    save_weights(folder / WEIGHTS, model)
    export_onnx(folder, model)
    manifest = Manifest(
        task="reach",
        size="reach_student",
        sizes=model.size,
        dt=0.04,
        goals=("red", "green", "blue", "yellow"),
        action_limit=(2.0, 2.0, 2.0, 2.0),
        planner=PlannerSettings(candidates=32, horizon=4),
        text_encoder=TextEncoder().describe(),
    )
    write_manifest(folder, manifest)
    return folder
