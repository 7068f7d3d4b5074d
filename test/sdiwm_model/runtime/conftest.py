import numpy as np
import pytest
import torch

from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
from sdiwm_model.compression.quantise import Calibration, quantise
from sdiwm_model.compression.quantised_model import save_engine
from sdiwm_model.export.onnx import export_onnx
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import find_size
from sdiwm_model.text_encoder import TextEncoder
from sdiwm_model.world_model import WorldModel


def calibration(model):
    rng = np.random.default_rng(0)

    def uniform(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32)

    size = model.size
    return Calibration(
        latents=uniform(64, size.latent),
        actions=uniform(64, 16, size.action),
        conditionings=uniform(8, size.conditioning),
        features=uniform(64, size.features),
        proprio=uniform(64, size.proprio),
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A complete bundle of random weights."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    model = WorldModel(find_size("reach_student"))
    save_weights(folder / WEIGHTS, model)
    export_onnx(folder, model)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_engine(quantise(weights, calibration(model)), folder / "engine.safetensors")
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
