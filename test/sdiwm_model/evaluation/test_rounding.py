"""The int8 engine of bounded dynamics: its certificate, and what rounding adds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sdiwm_model.compression.fixed_point import actions_to_int8, latent_from_q15
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantise import quantise
from sdiwm_model.dynamics import Dynamics
from sdiwm_model.evaluation.dequantise import dequantised_dynamics
from sdiwm_model.evaluation.lipschitz import INPUT_LIMIT, certified_bound, thirds
from sdiwm_model.evaluation.rounding import rounding_error
from sdiwm_model.sizes import find_size

BOUNDS = [0.95, 1.0, 2.0]


@pytest.fixture(scope="module", params=BOUNDS)
def engine(request, float_weights, calibration):
    """A bound and the integers of dynamics that keep it."""
    torch.manual_seed(0)
    dynamics = Dynamics(replace(find_size("reach_student"), lipschitz=request.param))
    own = {f"dynamics.{name}": t.numpy() for name, t in dynamics.state_dict().items()}
    return request.param, quantise(float_weights | own, calibration)


def latents(seed, count):
    rng = np.random.default_rng(seed)
    z = rng.integers(-32767, 32768, (count, 32))
    z[::2] = np.where(rng.random((len(z[::2]), 32)) < 0.5, -32767, 32767)
    return z.astype(np.int16), actions_to_int8(rng.uniform(-1, 1, (count, 4)))


def real_step(weights, z, a, c):
    """f: the dynamics in floats, with the input layer's limit."""
    before = np.hstack([z, a, c]) @ weights["dynamics.input.weight"].T
    x = np.clip(before + weights["dynamics.input.bias"], 0, weights[INPUT_LIMIT])

    def gates(name, value):
        sums = value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return [each.T for each in thirds(sums.T)]

    inputs, hidden = gates("dynamics.gru_input", x), gates("dynamics.gru_hidden", z)
    r, u = (1 / (1 + np.exp(-inputs[gate] - hidden[gate])) for gate in (0, 1))
    n = np.tanh(inputs[2] + r * hidden[2])
    return (1 - u) * n + u * z


def measured_error(q, seed):
    z, a = latents(seed, 400)
    c = np.random.default_rng(seed).uniform(-1, 1, 16).astype(np.float32)
    model = IntegerModel(q)
    integers = latent_from_q15(model.step(model.goal(c), z, a))
    goals = np.broadcast_to(c, (len(z), 16))
    real = real_step(dequantised_dynamics(q), latent_from_q15(z), a / 127, goals)
    return np.abs(integers - real).max()


def test_rounding_to_int8_leaves_the_weights_within_the_bound(engine):
    bound, q = engine
    assert 0.85 * bound < certified_bound(dequantised_dynamics(q)) <= bound


def test_no_step_of_the_engine_is_further_from_the_real_one_than_stated(engine):
    _, q = engine
    error = rounding_error(q)
    largest = max(measured_error(q, seed) for seed in range(5))
    assert largest <= error < 60 * largest


def test_that_holds_for_weights_without_a_bound_too(quantised):
    assert measured_error(quantised, 0) <= rounding_error(quantised)


def test_two_rollouts_of_the_engine_part_no_faster_than_stated(engine):
    bound, q = engine
    error, steps = rounding_error(q), 12
    rng = np.random.default_rng(3)
    z, _ = latents(3, 60)
    near = np.clip(z + rng.integers(-900, 901, z.shape), -32767, 32767).astype(np.int16)
    actions = actions_to_int8(rng.uniform(-1, 1, (60, steps, 4)))
    model = IntegerModel(q)
    goal = model.goal(rng.uniform(-1, 1, 16).astype(np.float32))
    paths = [latent_from_q15(model.rollout(goal, start, actions)) for start in (z, near)]
    apart = np.abs(latent_from_q15(z) - latent_from_q15(near)).max(axis=1)
    for t in range(steps):
        apart = bound * apart + 2 * error
        assert (np.abs(paths[0][:, t] - paths[1][:, t]).max(axis=1) <= apart).all()
        apart = np.abs(paths[0][:, t] - paths[1][:, t]).max(axis=1)
