"""Each loss rewards what its docstring says, and nothing else."""

import pytest
import torch

from sdiwm_model.losses import (
    cost_loss,
    drift_loss,
    inverse_dynamics_loss,
    likelihood_loss,
    places_loss,
    precise_readout_loss,
    saturation_loss,
    sketched_gaussian_loss,
    value_loss,
    variance_covariance_loss,
)


def test_drift_is_the_squared_distance_summed_over_the_latent_and_averaged_over_steps():
    predicted, encoded = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    predicted[0, 0] = 1.0
    assert drift_loss(predicted, encoded).item() == pytest.approx(4 / 6)


def test_an_error_close_to_the_target_weighs_three_times_as_much():
    near, far = torch.tensor([0.2]), torch.tensor([4.0])
    assert cost_loss(near + 0.1, near).item() == pytest.approx(
        3 * cost_loss(far + 0.1, far).item(), rel=1e-4
    )


def test_value_moves_to_the_better_outcome():
    value = torch.zeros(2, 2, requires_grad=True)  # two sequences of two steps
    value_loss(value, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), discount=0.9).backward()
    worse, better = value.grad[:, 0].tolist()
    assert worse < 0 < better  # gradient descent raises the first and lowers the second ...
    assert better == pytest.approx(-9 * worse)  # ... nine times as hard


def test_the_next_value_is_a_target_not_a_variable():
    value = torch.ones(3, 2, requires_grad=True)
    value_loss(value, torch.ones(3, 2), discount=0.9).backward()
    assert value.grad[:, 0].abs().min() > 0
    assert value.grad[:, 1].abs().max() == 0


def test_discounted_drift_minds_the_near_future_more():
    real = torch.zeros(1, 4, 2)
    early, late = real.clone(), real.clone()
    early[0, 0] = late[0, 3] = 1.0
    assert drift_loss(early, real) == drift_loss(late, real) == pytest.approx(0.5)
    assert drift_loss(early, real, 0.5) > 2 * drift_loss(late, real, 0.5)


def test_a_normal_spread_is_what_the_sketch_asks_for():
    draw = torch.Generator().manual_seed(0)
    normal = torch.randn(4096, 8, generator=draw)

    def loss(latents):
        return sketched_gaussian_loss(latents, torch.Generator().manual_seed(1)).item()

    assert loss(normal) < 1e-3
    for spoilt in (
        0.2 * normal,
        3 * normal,
        normal + 1,
        normal[:, :1].expand(-1, 8),
        normal.sign(),
    ):
        assert loss(spoilt) > 10 * loss(normal)


def test_a_place_foretells_costs_elsewhere_and_a_distance_does_not():
    targets, joints = torch.randn(16, 2, 1), torch.randn(3, 16, 1)  # two goals on a line
    cost = (joints.unsqueeze(-2) - targets).abs().squeeze(-1)

    class Distance(torch.nn.Module):
        def forward(self, x):
            return (x[..., 1:] - x[..., :1]).abs()

    assert places_loss(Distance(), targets, joints, cost).item() == pytest.approx(0.0, abs=1e-9)
    assert places_loss(Distance(), cost[0].unsqueeze(-1), joints, cost) > 0.1


def test_the_action_between_two_latents_is_learned_from_them():
    latents = torch.randn(4, 6, 3)
    actions = torch.zeros(4, 6, 3)
    actions[:, :-1] = latents[:, 1:] - latents[:, :-1]
    reader = torch.nn.Linear(6, 3, bias=False)
    with torch.no_grad():
        reader.weight.copy_(torch.cat([-torch.eye(3), torch.eye(3)], dim=1))
    assert inverse_dynamics_loss(reader, latents, actions).item() == pytest.approx(0.0, abs=1e-9)
    assert inverse_dynamics_loss(reader, latents, actions + 1).item() == pytest.approx(1.0)


@pytest.mark.parametrize("collapse", ["constant", "copies"])
def test_collapsed_latents_cost_more_than_spread_ones(collapse):
    draw = torch.Generator().manual_seed(0)
    spread = 0.5 * torch.randn(512, 8, generator=draw)
    collapsed = torch.full((512, 8), 0.3) if collapse == "constant" else spread[:, :1].expand(-1, 8)
    assert variance_covariance_loss(collapsed) > variance_covariance_loss(spread) + 0.1


def test_only_saturated_latents_are_penalised():
    assert saturation_loss(torch.tensor([-2.5, 0.0, 2.4])) == 0
    assert saturation_loss(torch.tensor([3.5])) == pytest.approx(1.0)


def test_what_cannot_be_read_does_not_drown_what_can():
    target = torch.randn(256, 2)
    predicted = torch.zeros(256, 2, requires_grad=True)
    close = target + torch.tensor([0.01, 1.0]) * torch.randn(256, 2)
    loss = likelihood_loss(close - predicted, target)
    loss.backward()
    precise, noisy = predicted.grad.abs().mean(dim=0)
    assert precise > 20 * noisy


def test_errors_far_ahead_do_not_drown_those_of_the_next_step():
    target = torch.randn(64, 3, 2)
    wrong = torch.tensor([0.01, 1.0]).view(2, 1) * torch.randn(64, 2, 2)
    predicted = (target[:, 1:] + wrong).requires_grad_()
    precise_readout_loss(torch.nn.Identity(), target, predicted, target).backward()
    near, far = predicted.grad.abs().mean(dim=(0, 2))
    assert near > 20 * far
