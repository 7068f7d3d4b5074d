from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
from sdiwm_model.compression.activations import Calibration
from sdiwm_model.compression.quantise import quantise
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
        features=uniform(64, size.frames * size.features),
        proprio=uniform(64, size.proprio),
    )


def write_bundle(folder, size, goals):
    """A complete bundle of random weights in `folder`."""
    torch.manual_seed(0)
    model = WorldModel(size)
    save_weights(folder / WEIGHTS, model)
    export_onnx(folder, model)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_engine(quantise(weights, calibration(model)), folder / "engine.safetensors")
    manifest = Manifest(
        task="reach",
        size="reach_student",
        sizes=size,
        dt=0.04,
        goals=goals,
        action_limit=(2.0,) * size.action,
        planner=PlannerSettings(candidates=32, horizon=4),
        text_encoder=TextEncoder().describe(),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """The default size, told four goals in words."""
    goals = ("red", "green", "blue", "yellow")
    return write_bundle(tmp_path_factory.mktemp("bundle"), find_size("reach_student"), goals)


@pytest.fixture(scope="session")
def seeing_bundle(tmp_path_factory):
    """Two cameras, two frames, no proprioception, nine actions, one goal; prior and ensemble."""
    size = replace(
        find_size("miniature"), cameras=2, frames=2, proprio=0, action=9, goals=1,
        prior=24, plan_horizon=6, ensemble=4,
    )  # fmt: skip
    return write_bundle(tmp_path_factory.mktemp("seeing"), size, ("upright",))


@pytest.fixture(scope="session")
def picture_bundle(tmp_path_factory):
    """Told its goal by a picture; three frames and a single action."""
    size = replace(find_size("miniature"), goal_image=True, frames=3, proprio=2, action=1, goals=1)
    return write_bundle(tmp_path_factory.mktemp("picture"), size, ("picture",))
