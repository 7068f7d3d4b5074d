from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import goal_codes
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.torch import TorchDynamics
from sdiwm_model.sizes import find_size
from sdiwm_model.training.prior import distil_prior
from sdiwm_model.world_model import WorldModel

CODES = goal_codes(4, 16)


def fresh_model(prior=32):
    torch.manual_seed(5)
    size = replace(find_size("miniature"), prior=prior, plan_horizon=5)
    model = WorldModel(size)
    with torch.no_grad():  # an action must matter more than it does to random weights
        model.dynamics.input.weight[:, size.latent : size.latent + size.action] *= 6.0
        model.cost.output.weight *= 4.0
    return model


def latents(count, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.tanh(torch.randn(count, 32, generator=draw))


@pytest.fixture(scope="module")
def distilled():
    model, told = fresh_model(), []
    before = {name: t.clone() for name, t in model.state_dict().items()}
    losses = distil_prior(
        model, latents(200, 0), CODES, PlannerSettings(), 3, 60, 300, lambda *x: told.append(x)
    )
    return model, before, losses, told


def test_only_the_prior_changes(distilled):
    model, before, _, _ = distilled
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed
    assert all(name.startswith("prior.") for name in changed)


def test_the_loss_falls_and_every_plan_and_update_is_reported(distilled):
    _, _, losses, told = distilled
    assert len(losses) == 300
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    assert [done for done, _ in told] == list(range(1, 361))
    assert [loss for _, loss in told] == [None] * 60 + losses


def test_what_it_proposes_costs_less_than_standing_still(distilled):
    model = distilled[0].eval()
    dynamics, better = TorchDynamics(model), []
    for i, z in enumerate(latents(20, 1).numpy()):
        c = CODES[i % 4].numpy()
        proposed = dynamics.prior(z, c)
        assert proposed.shape == (5, 4)
        tried = np.stack([proposed, np.zeros_like(proposed)])
        better.append(np.subtract(*dynamics.rollout_cost(z, tried, c)))
    assert np.mean(better) < -0.05


def test_the_same_seed_distils_the_same_prior_and_another_seed_another():
    found = []
    for seed in (1, 1, 2):
        model = fresh_model(prior=8)
        distil_prior(model, latents(20, 0), CODES, PlannerSettings(), seed, 4, 5)
        found.append(model.prior.output.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("prior", "plans", "steps", "said"),
    [(0, 4, 4, "'prior'"), (8, 0, 4, "prior_plans"), (8, 4, 0, "prior_steps")],
)
def test_what_cannot_be_distilled_is_refused(prior, plans, steps, said):
    with pytest.raises(SdiwmError, match=said):
        distil_prior(fresh_model(prior), latents(9, 0), CODES, PlannerSettings(), 0, plans, steps)
