import numpy as np
import pytest

from sdiwm_model.compression.fixed_point import latent_to_q15
from sdiwm_model.compression.integer_planner import (
    IntegerMppi,
    planner_integers,
    softmax_weights,
    weighted_mean,
)
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings


def test_softmax_and_mean_are_those_of_the_float_planner(quantised):
    settings = PlannerSettings(candidates=300, temperature=0.3)
    integers = planner_integers(quantised, settings, 0)
    rng = np.random.default_rng(0)
    costs = rng.integers(10**5, 10**6, 300)
    actions = rng.integers(-127, 128, (300, 4, 4)).astype(np.int8)
    weights = softmax_weights(costs, integers)
    worse = (costs - costs.min()).astype(float)
    expected = np.exp(-worse / (0.3 * worse.mean()))
    np.testing.assert_allclose(weights / 32767, expected, atol=3e-3)
    mean = np.tensordot(expected / expected.sum(), actions / 127, axes=1)
    np.testing.assert_allclose(weighted_mean(actions, weights) / 32512, mean, atol=2e-3)


def test_equal_costs_weigh_the_same(quantised):
    weights = softmax_weights(np.full(64, 12345), planner_integers(quantised, PlannerSettings(), 0))
    assert (weights == 32767).all()


def test_noise_has_the_asked_spread_and_correlation(quantised):
    settings = PlannerSettings(candidates=2048, horizon=8, sigma=0.2, beta=0.7)
    actions = IntegerMppi(quantised, settings, 3).candidates(np.zeros((8, 4), np.int16), None, 0)
    a = actions[2:] / 127
    np.testing.assert_allclose(a.std(axis=(0, 2)), 0.2, rtol=0.03)
    for lag in (1, 2):
        product = (a[:, lag:] * a[:, :-lag]).mean() / 0.2**2
        assert abs(product - 0.7**lag) < 0.03
    assert not actions[1].any()


def test_candidates_with_a_prior_are_those_of_the_float_planner(quantised_with_prior):
    settings = PlannerSettings(candidates=2001, horizon=8, sigma=0.05)
    planner = IntegerMppi(quantised_with_prior, settings, 3)
    mean = np.full((8, 4), 8000, np.int16)
    prior = np.linspace(-28000, 28000, 32).reshape(8, 4).astype(np.int16)
    a = planner.candidates(mean, prior, 0) * (256 / 32512)
    assert (np.abs(a[0] - mean / 32512) < 1 / 127).all()
    assert not a[1].any()
    assert (np.abs(a[2] - prior / 32512) < 1 / 127).all()
    np.testing.assert_allclose(a[3:].mean(axis=0), mean / 32512, atol=0.012)


def test_a_cold_plan_starts_from_the_prior_and_a_warm_one_does_not(quantised_with_prior):
    planner = IntegerMppi(quantised_with_prior, PlannerSettings(candidates=8, horizon=16), 0)
    goal = make_goal(quantised_with_prior, np.full(16, 0.3))
    z = np.full(32, 9000, np.int16)
    own = planner.model.prior(goal, z)
    assert own.shape == (12, 4)
    mean, prior = planner.start(goal, z, None)
    np.testing.assert_array_equal(mean[:12], own)
    np.testing.assert_array_equal(mean[12:], np.repeat(own[-1:], 4, axis=0))
    warm, same = planner.start(goal, z, np.zeros((16, 4), np.int16))
    assert not warm.any()
    np.testing.assert_array_equal(prior, same)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"disagreement": 0.5}, r"planner.disagreement is 0\.5.*onnx or torch"),
        ({"sigma": 1.3}, "sigma"),
        ({"candidates": 4096}, "candidates"),
        ({"horizon": 65}, "horizon"),
        ({"temperature": 17.0}, "temperature"),
        ({"value_weight": 1e30}, "value_weight"),
    ],
)
def test_what_the_integers_cannot_hold_is_refused(quantised, settings, field):
    with pytest.raises(SdiwmError, match=field):
        planner_integers(quantised, PlannerSettings(**settings), 0)


def test_planning_again_and_again_reduces_the_cost(quantised, calibration):
    planner = IntegerMppi(quantised, PlannerSettings(candidates=128, horizon=8), 0)
    goal = make_goal(quantised, calibration.conditionings[0])
    z = latent_to_q15(calibration.latents[0])
    mean = np.zeros((8, 4), np.int16)
    first = planner.costs(goal, z, np.zeros((1, 8, 4), np.int8))[0]
    for _ in range(8):
        mean, _, costs = planner.plan(goal, z, mean)
    assert costs[0] < first
    assert costs[0] < np.median(costs)
