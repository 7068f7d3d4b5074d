"""A pruned image branch goes back to the features that the whole one has."""

import pytest
import torch

from sdiwm_model.compression.image_channels import MAPS
from sdiwm_model.compression.recall import Recall
from sdiwm_model.compression.slicing import groups, slice_model
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.config import configure
from sdiwm_model.training.run import train
from sdiwm_model.training.stages import VisionStage

SETTINGS = [
    "size=miniature",
    "size.channels=[8,8]",
    "size.prior=0",
    "prior_plans=0",
    "language_steps=0",
    "vision_steps=1",
    "vision_batch=16",
    "world_steps=1",
    "world_batch=8",
    "horizon=4",
    "long_horizon=8",
]


@pytest.fixture(scope="module")
def data(small_data):
    return Experience.from_episodes(load_episodes(small_data), 1.0, (0,))


def test_what_it_learns_are_the_kept_features_of_the_whole_branch(small_data, data, tmp_path):
    config = configure(SETTINGS)
    whole = train([small_data], tmp_path / "whole", config, 0)
    count = groups(whole.size)["vision." + MAPS].units
    maps = {"vision." + MAPS: list(range(0, count, 2))}
    recall = Recall(tmp_path / "whole", maps, config)

    same = slice_model(whole, maps)
    stage = recall.vision(VisionStage(same, data, config), same, data)
    assert stage.loss(0, torch.Generator().manual_seed(0)).total < 1e-10

    fewer = slice_model(whole, maps | {"vision.conv1": [0, 1, 2, 3]})
    stage = recall.vision(VisionStage(fewer, data, config), fewer, data)
    optimiser = torch.optim.Adam(stage.modules().parameters(), 3e-3)
    losses = []
    for step in range(20):
        loss = stage.loss(step, torch.Generator().manual_seed(0)).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
