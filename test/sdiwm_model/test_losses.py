"""Each loss rewards what its docstring says, and nothing else."""

import pytest
import torch

from sdiwm_model.losses import (
    cost_loss,
    drift_loss,
    saturation_loss,
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
    value = torch.zeros(2, requires_grad=True)
    outcomes = torch.tensor([1.0, -1.0])
    value_loss(value, outcomes, torch.zeros(2), discount=0.9).backward()
    worse, better = value.grad.tolist()
    assert worse < 0 < better  # gradient descent raises the first and lowers the second ...
    assert better == pytest.approx(-9 * worse)  # ... nine times as hard


def test_the_next_value_is_a_target_not_a_variable():
    following = torch.ones(3, requires_grad=True)
    value = torch.zeros(3, requires_grad=True)
    value_loss(value, torch.ones(3), following, discount=0.9).backward()
    assert following.grad is None


@pytest.mark.parametrize("collapse", ["constant", "copies"])
def test_collapsed_latents_cost_more_than_spread_ones(collapse):
    draw = torch.Generator().manual_seed(0)
    spread = 0.5 * torch.randn(512, 8, generator=draw)
    collapsed = torch.full((512, 8), 0.3) if collapse == "constant" else spread[:, :1].expand(-1, 8)
    assert variance_covariance_loss(collapsed) > variance_covariance_loss(spread) + 0.1


def test_only_saturated_latents_are_penalised():
    assert saturation_loss(torch.tensor([-2.5, 0.0, 2.4])) == 0
    assert saturation_loss(torch.tensor([3.5])) == pytest.approx(1.0)
