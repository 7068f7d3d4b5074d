"""Shapes, bounds and what the parts of the model ignore."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import find_size
from sdiwm_model.world_model import WorldModel

SMALL = ["reach_student", "student_mobilenet_64", "miniature", "miniature_teacher"]


@pytest.fixture(scope="module", params=SMALL)
def model(request):
    torch.manual_seed(0)
    return WorldModel(find_size(request.param)).eval()


def random_batch(model, batch, steps):
    size = model.size
    draw = torch.Generator().manual_seed(batch * 100 + steps)
    z = 2 * torch.rand(batch, size.latent, generator=draw) - 1
    actions = 2 * torch.rand(batch, steps, size.action, generator=draw) - 1
    c = 2 * torch.rand(batch, size.conditioning, generator=draw) - 1
    return z, actions, c


def test_a_picture_and_joints_become_a_bounded_latent(model):
    size = model.size
    image = torch.randint(0, 256, (2, size.image_size, size.image_size, 3)).to(torch.uint8)
    features = model.vision(image)
    assert features.shape == (2, size.features)
    assert features.abs().max() <= 1
    z = model.fusion(features, 100 * torch.randn(2, size.proprio))
    assert z.shape == (2, size.latent)
    assert z.abs().max() <= 1


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.1, 30.0))
@pytest.mark.parametrize("name", ["miniature", "miniature_teacher"])
def test_no_weights_let_a_rollout_leave_the_unit_box(name, scale):
    torch.manual_seed(0)
    model = WorldModel(find_size(name))
    with torch.no_grad():
        for parameter in model.dynamics.parameters():
            parameter.mul_(scale)
        latents = model.rollout(*random_batch(model, 4, 20))
    assert latents.abs().max() <= 1.0


@pytest.mark.parametrize("name", ["reach_student", "miniature"])
def test_a_rollout_of_a_gru_is_the_transition_again_and_again(name):
    torch.manual_seed(0)
    model = WorldModel(find_size(name)).eval()
    z, actions, c = random_batch(model, 3, 5)
    latents = model.rollout(z, actions, c)
    for step in range(5):
        z = model.dynamics(z, actions[:, step], c)
        assert torch.equal(latents[:, step], z)


def test_one_latent_and_all_goals_give_the_costs_of_each_goal_alone(model):
    z, _, c = random_batch(model, 4, 1)
    together = model.cost(z.unsqueeze(1), c)
    alone = torch.stack([model.cost(z, goal.expand(4, -1)) for goal in c], dim=1)
    assert torch.allclose(together, alone, atol=1e-6)


def test_an_unknown_size_is_refused_with_the_known_ones():
    with pytest.raises(SdiwmError, match="unknown model size 'giant'.*reach_student"):
        find_size("giant")
