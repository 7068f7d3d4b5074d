from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import jacrev, vmap

from sdiwm_model.dynamics import Dynamics
from sdiwm_model.evaluation.lipschitz import (
    INPUT_LIMIT,
    certified_bound,
    infinity_norm,
    jacobian,
)
from sdiwm_model.sizes import find_size

SIZE = find_size("miniature")


def model(seed, gain):
    torch.manual_seed(seed)
    made = Dynamics(SIZE).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= gain
    return made


def weights_of(dynamics):
    return {f"dynamics.{name}": t.numpy() for name, t in dynamics.state_dict().items()}


def points(seed, count):
    rng = np.random.default_rng(seed)
    for index in range(count):
        point = [rng.uniform(-1, 1, n) for n in (SIZE.latent, SIZE.action, SIZE.conditioning)]
        yield [np.sign(x) for x in point] if index % 2 else point


def test_the_jacobian_is_that_of_torch():
    dynamics = model(0, 1.5)
    for z, a, c in points(1, 6):
        expected = torch.autograd.functional.jacobian(
            lambda latent, a=a, c=c: dynamics(latent, torch.tensor(a), torch.tensor(c)),
            torch.tensor(z),
        )
        assert np.allclose(jacobian(weights_of(dynamics), z, a, c), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_jacobian_exceeds_the_bound(seed, gain):
    weights = weights_of(model(seed, gain))
    bound = certified_bound(weights)
    largest = max(infinity_norm(jacobian(weights, *point)) for point in points(seed, 200))
    assert largest <= bound
    assert bound < 1e4


def trained(bound):
    """Dynamics after a few updates towards stretching as much as they can."""
    torch.manual_seed(0)
    dynamics = Dynamics(replace(SIZE, lipschitz=bound))
    optimiser = torch.optim.Adam(dynamics.parameters(), lr=0.01)
    z, a, c = random_points(64, 1)
    for _ in range(20):
        optimiser.zero_grad()
        (-(dynamics(z, a, c) - dynamics(0.9 * z, a, c)).abs().mean()).backward()
        dynamics.constrain_gradients()
        optimiser.step()
        dynamics.project()
    return dynamics


def random_points(count, seed):
    """Half of them corners of the box."""
    generator = torch.Generator().manual_seed(seed)
    width = SIZE.latent + SIZE.action + SIZE.conditioning
    points = 2 * torch.rand(count, width, generator=generator) - 1
    points[::2] = points[::2].sign()
    return points.split([SIZE.latent, SIZE.action, SIZE.conditioning], dim=1)


def norms(dynamics, z, a, c):
    """Largest absolute row sum of each point's Jacobian, by autograd."""
    return vmap(jacrev(dynamics))(z, a, c).abs().sum(dim=2).max(dim=1).values


@pytest.fixture(scope="module", params=[0.0, 0.95, 1.0, 2.0])
def any_dynamics(request):
    return trained(request.param)


def test_none_of_ten_thousand_jacobians_exceeds_the_certificate(any_dynamics):
    bound = certified_bound(weights_of(any_dynamics))
    with torch.no_grad():
        for part in range(10):
            points = random_points(1000, part)
            assert norms(any_dynamics, *points).max() <= bound * (1 + 1e-6)


def test_gradient_ascent_does_not_break_the_certificate(any_dynamics):
    bound = certified_bound(weights_of(any_dynamics))
    start = [torch.atanh(0.9 * x).requires_grad_() for x in random_points(16, 5)]
    optimiser = torch.optim.Adam(start, lr=0.1)
    first = norms(any_dynamics, *map(torch.tanh, start)).mean().item()
    for _ in range(30):
        optimiser.zero_grad()
        reached = norms(any_dynamics, *map(torch.tanh, start))
        (-reached.sum()).backward()
        optimiser.step()
        assert reached.max() <= bound * (1 + 1e-6)
    assert reached.mean() > first


def test_two_latents_never_part_faster_than_the_bound():
    dynamics = model(4, 1.0)
    bound = certified_bound(weights_of(dynamics))
    rng = np.random.default_rng(0)
    for z, a, c in points(4, 100):
        other = np.clip(z + rng.uniform(-1, 1) * rng.normal(size=z.shape), -1, 1)
        with torch.no_grad():
            moved = dynamics(
                torch.tensor(np.stack([z, other])),
                torch.tensor(np.stack([a, a])),
                torch.tensor(np.stack([c, c])),
            ).numpy()
        apart = np.abs(z - other).max()
        assert np.abs(moved[0] - moved[1]).max() <= bound * apart + 1e-12


def test_dynamics_that_never_move_have_a_bound_of_one():
    dynamics = model(0, 0.0)
    with torch.no_grad():
        dynamics.gru_input.bias[SIZE.latent : 2 * SIZE.latent] = 50.0  # u = 1
    assert certified_bound(weights_of(dynamics)) == pytest.approx(1.0)


def test_an_input_layer_that_saturates_is_certified_as_one():
    weights = weights_of(model(1, 2.0)) | {INPUT_LIMIT: np.array(0.3)}
    bound = certified_bound(weights)
    assert bound > 1
    for z, a, c in points(2, 50):
        assert infinity_norm(jacobian(weights, z, a, c)) <= bound


def test_the_certificate_knows_units_that_are_always_on():
    """Two paths that cancel where both are open: no bound would be 0 without knowing that."""
    weights = {
        "dynamics.input.weight": np.array([[1.0, 0.0, 0.0]]),
        "dynamics.input.bias": np.array([5.0]),
        "dynamics.gru_input.weight": np.array([[0.0], [0.0], [-1.0]]),
        "dynamics.gru_input.bias": np.array([100.0, -100.0, 5.0]),
        "dynamics.gru_hidden.weight": np.array([[0.0], [0.0], [1.0]]),
        "dynamics.gru_hidden.bias": np.zeros(3),
    }
    assert certified_bound(weights) < 1e-6
    weights["dynamics.input.bias"] = np.array([0.5])
    weights["dynamics.gru_input.bias"] = np.array([100.0, -100.0, 0.5])
    assert certified_bound(weights) > 0.9
