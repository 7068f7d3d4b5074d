"""One pass over an action sequence: causal, bounded, and as exact as its sweeps are many."""

import pytest
import torch

from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.prefix_dynamics import PrefixDynamics, jacobi_rollout
from sdiwm_model.sizes import find_size
from sdiwm_model.training.prefix import distil_prefix
from sdiwm_model.world_model import WorldModel

SIZE = find_size("miniature")
HORIZON = 6


@pytest.fixture
def inputs():
    draw = torch.Generator().manual_seed(0)

    def uniform(*shape):
        return 2 * torch.rand(shape, generator=draw) - 1

    return (
        uniform(5, SIZE.latent),
        uniform(5, HORIZON, SIZE.action),
        uniform(5, SIZE.conditioning),
    )


@pytest.fixture
def model():
    torch.manual_seed(1)
    return WorldModel(SIZE).eval()


@torch.no_grad()
def test_a_latent_depends_on_its_own_prefix_alone(inputs):
    z, actions, c = inputs
    torch.manual_seed(2)
    prefix = PrefixDynamics(SIZE, HORIZON)
    before = prefix(z, actions, c)
    actions[:, 3] = -actions[:, 3]
    after = prefix(z, actions, c)
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(dim=2).all()
    assert after.abs().max() <= 1


@torch.no_grad()
def test_one_start_serves_all_candidates(inputs):
    z, actions, c = inputs
    prefix = PrefixDynamics(SIZE, HORIZON)
    shared = prefix(z[:1], actions, c[:1])
    repeated = prefix(z[:1].expand(5, -1), actions, c[:1].expand(5, -1))
    torch.testing.assert_close(shared, repeated)


@torch.no_grad()
def test_sweep_i_makes_the_first_i_latents_exact(model, inputs):
    exact = model.rollout(*inputs)
    for sweeps in (1, 3, HORIZON):
        found = jacobi_rollout(model.dynamics, *inputs, sweeps)
        torch.testing.assert_close(found[:, :sweeps], exact[:, :sweeps])
    assert not torch.allclose(jacobi_rollout(model.dynamics, *inputs, 2), exact, atol=1e-4)


def test_distillation_comes_closer_to_the_rollouts_and_repeats_itself(model, inputs):
    before = {name: each.clone() for name, each in model.state_dict().items()}
    losses = []

    def distil(steps, report=lambda step, loss: None):
        settings = PlannerSettings(horizon=HORIZON)
        return distil_prefix(model, *inputs, settings, 0, steps, report)

    trained = distil(40, lambda step, loss: losses.append(loss))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    again = distil(40)
    pairs = zip(trained.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
