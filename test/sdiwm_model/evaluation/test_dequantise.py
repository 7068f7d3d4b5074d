import numpy as np

from sdiwm_model.compression.activations import float_step
from sdiwm_model.compression.fixed_point import actions_to_int8, latent_from_q15, latent_to_q15
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.evaluation.dequantise import dequantised_dynamics
from sdiwm_model.evaluation.lipschitz import certified_bound


def test_the_dequantised_dynamics_are_what_the_engine_rounds(quantised, float_weights):
    """Closer to the integers than the float weights are, over one step from anywhere."""
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (200, 32)).astype(np.float32)
    a = rng.uniform(-1, 1, (200, 4)).astype(np.float32)
    c = rng.uniform(-1, 1, 16).astype(np.float32)
    model = IntegerModel(quantised)
    path = model.rollout(model.goal(c), latent_to_q15(z), actions_to_int8(a[:, None]))
    integers = latent_from_q15(path[:, 0])
    goals = np.broadcast_to(c, (200, 16))
    real = float_step(dequantised_dynamics(quantised), z, a, goals)
    original = float_step(float_weights, z, a, goals)
    assert np.quantile(np.abs(real - integers), 0.98) < 0.01  # beyond: saturated units
    assert np.abs(real - integers).mean() < np.abs(original - integers).mean()


def test_the_certificate_of_the_integers_is_near_that_of_the_floats(quantised, float_weights):
    ratio = certified_bound(dequantised_dynamics(quantised)) / certified_bound(float_weights)
    assert 0.8 < ratio < 1.25
