"""Dynamics that keep a bound, whatever the weights and the optimiser."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.dynamics import Dynamics
from sdiwm_model.evaluation.lipschitz import certified_bound
from sdiwm_model.sizes import find_size

SIZE = find_size("miniature")
BOUNDS = [0.5, 0.95, 1.0, 1.1, 2.0]


def bounded(bound, seed=0, gain=1.0, bias=0.0):
    torch.manual_seed(seed)
    made = Dynamics(replace(SIZE, lipschitz=bound))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter += bias * torch.randn_like(parameter)
            else:
                parameter *= gain * torch.exp(torch.randn(len(parameter), 1))
    return made


def certificate(dynamics):
    return certified_bound({f"dynamics.{n}": t.numpy() for n, t in dynamics.state_dict().items()})


def inputs(count, seed=0):
    rng = np.random.default_rng(seed)
    widths = (SIZE.latent, SIZE.action, SIZE.conditioning)
    return [torch.tensor(rng.uniform(-1, 1, (count, n)), dtype=torch.float32) for n in widths]


@settings(deadline=None, max_examples=30)
@given(
    bound=st.floats(0.05, 20),
    seed=st.integers(0, 2**31),
    gain=st.floats(0.01, 30),
    bias=st.floats(0, 10),
)
def test_any_weights_keep_the_bound_once_projected(bound, seed, gain, bias):
    dynamics = bounded(bound, seed, gain, bias)
    dynamics.project()
    assert certificate(dynamics) <= bound


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_certificate_is_near_the_setting(bound):
    assert 0.9 * bound < certificate(bounded_from_start(bound)) <= bound


def bounded_from_start(bound):
    torch.manual_seed(0)
    return Dynamics(replace(SIZE, lipschitz=bound))


@pytest.mark.parametrize("bound", BOUNDS)
def test_an_optimiser_that_wants_to_stretch_cannot(bound):
    dynamics = bounded_from_start(bound)
    optimiser = torch.optim.AdamW(dynamics.parameters(), lr=0.01)
    z, a, c = inputs(32)
    other = z + 0.05 * torch.sign(torch.randn_like(z))
    for _ in range(25):
        optimiser.zero_grad()
        (-(dynamics(z, a, c) - dynamics(other, a, c)).abs().mean()).backward()
        dynamics.constrain_gradients()
        optimiser.step()
        dynamics.project()
        assert certificate(dynamics) <= bound


def test_weights_within_the_bound_stay_as_they_are():
    dynamics = bounded(1.0, gain=1e-3)
    before = [p.clone() for p in dynamics.parameters()]
    dynamics.project()
    assert all(torch.equal(p, q) for p, q in zip(dynamics.parameters(), before, strict=True))


def test_projecting_again_changes_nothing_but_rounding():
    dynamics = bounded(0.95, gain=5.0, bias=2.0)
    dynamics.project()
    once = [p.clone() for p in dynamics.parameters()]
    dynamics.project()
    for again, before in zip(dynamics.parameters(), once, strict=True):
        assert torch.allclose(again, before, rtol=1e-5, atol=1e-6)


def test_a_bound_of_one_lets_latents_stand_still():
    dynamics = bounded_from_start(1.0)
    with torch.no_grad():
        dynamics.gru_input.bias[SIZE.latent : 2 * SIZE.latent] += 30.0
    dynamics.project()
    z, a, c = inputs(8)
    assert torch.allclose(dynamics(z, a, c), z, atol=1e-6)


def test_a_bound_below_one_makes_every_two_latents_meet():
    dynamics = bounded(0.9, gain=5.0)
    dynamics.project()
    z, a, c = inputs(16)
    other = -z
    with torch.no_grad():
        for _ in range(100):
            z, other = dynamics(z, a, c), dynamics(other, a, c)
    assert (z - other).abs().max() <= 2 * 0.9**100


def test_no_bound_changes_neither_weights_nor_gradients():
    torch.manual_seed(0)
    free = Dynamics(SIZE)
    for parameter in free.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = [(p.clone(), p.grad.clone()) for p in free.parameters()]
    free.constrain_gradients()
    free.project()
    for parameter, (value, gradient) in zip(free.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert torch.equal(parameter.grad, gradient)


def at_the_bound(direction, bound=1.0):
    """Projected dynamics in double precision, whose loss asks every row to get longer, or shorter.

    The loss is a sum of weights times fixed numbers: returned are these, with the gradients set.
    """
    dynamics = bounded_from_start(bound).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter *= 1.5
    dynamics.project()
    factors = [direction * p.detach() for p in dynamics.parameters()]
    for parameter, factor in zip(dynamics.parameters(), factors, strict=True):
        parameter.grad = factor.clone()
    return dynamics, factors


def test_gradients_that_lead_back_inside_are_left_alone():
    dynamics, factors = at_the_bound(+1.0)
    dynamics.constrain_gradients()
    for parameter, factor in zip(dynamics.parameters(), factors, strict=True):
        assert torch.equal(parameter.grad, factor)


@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_gradients_at_the_bound_are_those_of_the_projected_weights(bound):
    """The change of the loss along a path that projection bends, by differences."""
    dynamics, factors = at_the_bound(-1.0, bound)
    start = [p.detach().clone() for p in dynamics.parameters()]
    dynamics.constrain_gradients()
    generator = torch.Generator().manual_seed(1)
    path = [
        -f * (1 + 0.3 * torch.rand(f.shape, generator=generator, dtype=f.dtype)) for f in factors
    ]
    expected = sum((p.grad * d).sum() for p, d in zip(dynamics.parameters(), path, strict=True))
    losses = []
    for step in (0.0, 1e-7):
        with torch.no_grad():
            for parameter, p, d in zip(dynamics.parameters(), start, path, strict=True):
                parameter.copy_(p + step * d)
        dynamics.project()
        pairs = zip(dynamics.parameters(), factors, strict=True)
        losses.append(sum((p.detach() * f).sum() for p, f in pairs))
    assert ((losses[1] - losses[0]) / 1e-7).item() == pytest.approx(expected.item(), rel=1e-3)
