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
    actions = IntegerMppi(quantised, settings, 3).candidates(np.zeros((8, 4), np.int16), 0)
    a = actions[2:] / 127
    np.testing.assert_allclose(a.std(axis=(0, 2)), 0.2, rtol=0.03)
    for lag in (1, 2):
        product = (a[:, lag:] * a[:, :-lag]).mean() / 0.2**2
        assert abs(product - 0.7**lag) < 0.03
    assert not actions[1].any()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
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
