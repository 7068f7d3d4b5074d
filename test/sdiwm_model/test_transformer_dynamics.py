"""What the transformer predicts from, how far, and within which bounds."""

import pytest
import torch

from sdiwm_model.sizes import find_size
from sdiwm_model.transformer_dynamics import TransformerDynamics

SIZE = find_size("miniature_teacher")
STEPS = 3 * SIZE.context - 2


@pytest.fixture
def dynamics():
    torch.manual_seed(0)
    return TransformerDynamics(SIZE)


@pytest.fixture
def inputs():
    draw = torch.Generator().manual_seed(1)

    def uniform(*shape):
        return 2 * torch.rand(shape, generator=draw) - 1

    return uniform(3, SIZE.latent), uniform(3, STEPS, SIZE.action), uniform(3, SIZE.conditioning)


@pytest.mark.parametrize("changed", range(STEPS))
def test_an_action_changes_its_own_prediction_and_later_ones_only(dynamics, inputs, changed):
    z, actions, c = inputs
    other = actions.clone()
    other[:, changed] *= -1
    moved = (dynamics.rollout(z, actions, c) - dynamics.rollout(z, other, c)).abs().amax((0, 2))
    assert (moved[:changed] == 0).all()
    assert (moved[changed:] > 0).all()


def test_one_step_is_a_rollout_of_one(dynamics, inputs):
    z, actions, c = inputs
    step = dynamics(z, actions[:, 0], c)
    assert step.shape == (3, SIZE.latent)
    assert torch.equal(step, dynamics.rollout(z, actions[:, :1], c)[:, 0])
    assert torch.allclose(step, dynamics.rollout(z, actions, c)[:, 0], atol=1e-6)


def test_beyond_its_context_a_rollout_goes_on_from_its_last_prediction(dynamics, inputs):
    z, actions, c = inputs
    context = SIZE.context
    whole = dynamics.rollout(z, actions, c)
    assert whole.shape == (3, STEPS, SIZE.latent)
    rest = dynamics.rollout(whole[:, context - 1], actions[:, context:], c)
    assert torch.allclose(whole[:, context:], rest, atol=1e-6)


def test_the_goal_and_the_latent_change_what_is_predicted(dynamics, inputs):
    z, actions, c = inputs
    predicted = dynamics.rollout(z, actions, c)
    assert not torch.allclose(predicted, dynamics.rollout(z, actions, -c), atol=1e-3)
    assert not torch.allclose(predicted, dynamics.rollout(-z, actions, c), atol=1e-3)


def test_predictions_start_close_to_where_they_begin(dynamics, inputs):
    z, actions, c = inputs
    nearer = dynamics.rollout(z, actions[:, :1], c)[:, 0]
    assert (nearer - z).square().mean() < z.square().mean() / 2


def test_every_weight_has_a_gradient_and_the_last_prediction_reaches_the_first_action(
    dynamics, inputs
):
    z, actions, c = (tensor.requires_grad_() for tensor in inputs)
    dynamics.rollout(z, actions, c)[:, -1].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in dynamics.parameters())
    assert (actions.grad.abs().sum(dim=-1) > 0).all()
    assert z.grad.abs().sum() > 0 and c.grad.abs().sum() > 0
