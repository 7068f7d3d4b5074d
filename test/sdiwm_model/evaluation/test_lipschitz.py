import numpy as np
import pytest
import torch

from sdiwm_model.dynamics import Dynamics
from sdiwm_model.evaluation.lipschitz import certified_bound, infinity_norm, jacobian
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


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_gradient_ascent_does_not_break_the_bound(gain):
    dynamics = model(3, gain)
    bound = certified_bound(weights_of(dynamics))
    start = [torch.tensor(x, requires_grad=True) for x in next(points(3, 1))]
    optimiser = torch.optim.Adam(start, lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        box = [torch.tanh(x) for x in start]
        full = torch.autograd.functional.jacobian(
            lambda z, a=box[1], c=box[2]: dynamics(z, a, c), box[0], create_graph=True
        )
        norm = full.abs().sum(dim=1).max()
        (-norm).backward()
        optimiser.step()
    assert norm.item() <= bound


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
