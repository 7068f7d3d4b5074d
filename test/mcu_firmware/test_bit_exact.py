"""Every compiled instruction set returns the reference's integers, whatever it is fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.compression.integer_planner import IntegerMppi, planner_integers
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import Goal, make_goal
from sdiwm_model.planning.protocols import PlannerSettings, fit_horizon

EDGES = np.array([-32767, -32640, -32639, -128, -1, 0, 1, 127, 128, 32639, 32640, 32767], np.int16)


def latents(rng, model, n):
    """Half uniform, half from the values at which something rounds or saturates."""
    z = rng.integers(-32767, 32768, (n, model.latent)).astype(np.int16)
    edge = rng.random(z.shape) < 0.5
    z[edge] = rng.choice(EDGES, edge.sum())
    return z


def actions(rng, model, n, horizon):
    return rng.integers(-127, 128, (n, horizon, model.action)).astype(np.int8)


def odd_goal(rng, model):
    """A goal with the extremes of its integers."""
    hidden, head = (model.layers[name].weight.shape[0] for name in ("input", "cost_input"))
    prior = model.layers["prior_input"].weight.shape[0] if model.prior else 0

    def shorts(low, width=head):
        values = rng.integers(low, 32768, width)
        return np.where(rng.random(width) < 0.2, rng.choice([low, 32767], width), values).astype(
            np.int16
        )

    bias = rng.integers(-(2**24), 2**24, hidden).astype(np.int32)
    heads = (shorts(0), shorts(-32768), shorts(0), shorts(-32768))
    return Goal(bias, *heads, shorts(0, prior), shorts(-32768, prior))


def test_fusion_of_random_and_saturating_inputs(engine):
    rng = np.random.default_rng(3)
    x = rng.integers(-32767, 32768, (1000, 72)).astype(np.int16)
    x[::10] = rng.choice(EDGES, (100, 72))
    expected = IntegerModel(engine.model).fuse(x)
    np.testing.assert_array_equal(np.stack([engine.fuse(row) for row in x]), expected)


def test_rollouts_and_heads_of_thousands_of_random_latents(engine, calibration):
    rng = np.random.default_rng(4)
    model = IntegerModel(engine.model)
    goal = make_goal(engine.model, calibration.conditionings[0])
    z, moves = latents(rng, engine.model, 3001), actions(rng, engine.model, 3001, 3)
    expected = model.rollout(goal, z, moves)
    path = engine.rollout(goal, z, moves)
    np.testing.assert_array_equal(path, expected)
    ends = np.ascontiguousarray(path[:, -1])
    cost, value = engine.heads(goal, ends)
    np.testing.assert_array_equal(cost, model.cost(goal, ends))
    np.testing.assert_array_equal(value, model.value(goal, ends))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 130), horizon=st.integers(1, 4))
def test_hostile_weights_goals_and_latents(hostile_engine, seed, n, horizon):
    rng = np.random.default_rng(seed)
    model = IntegerModel(hostile_engine.model)
    goal = odd_goal(rng, hostile_engine.model)
    z, moves = latents(rng, hostile_engine.model, n), actions(rng, hostile_engine.model, n, horizon)
    path = hostile_engine.rollout(goal, z, moves)
    np.testing.assert_array_equal(path, model.rollout(goal, z, moves))
    cost, value = hostile_engine.heads(goal, z)
    np.testing.assert_array_equal(cost, model.cost(goal, z))
    np.testing.assert_array_equal(value, model.value(goal, z))
    x = rng.choice(EDGES, hostile_engine.model.features + hostile_engine.model.proprio)
    np.testing.assert_array_equal(hostile_engine.fuse(x), model.fuse(x))


def test_the_whole_default_plan(engine, calibration, both_plans):
    goal = make_goal(engine.model, calibration.conditionings[1])
    z = latents(np.random.default_rng(5), engine.model, 1)[0]
    both_plans(engine, PlannerSettings(), 0, goal, z, np.zeros((16, 4), np.int16))


@pytest.mark.parametrize("candidates", [2, 3, 16, 32, 64, 100])
@pytest.mark.parametrize("horizon", [5, 12, 14])  # the prior's own is 12
@pytest.mark.parametrize("warm", [True, False])
def test_plans_with_a_prior(prior_engine, calibration, both_plans, candidates, horizon, warm):
    goal = make_goal(prior_engine.model, calibration.conditionings[1])
    z = latents(np.random.default_rng(9), prior_engine.model, 1)[0]
    start = np.full((horizon, 4), -20000, np.int16) if warm else None
    settings = PlannerSettings(candidates=candidates, horizon=horizon)
    both_plans(prior_engine, settings, 5, goal, z, start)


def test_a_prior_that_is_not_used_changes_nothing(prior_engine, engine, calibration):
    z = latents(np.random.default_rng(10), engine.model, 1)[0]
    plans = []
    for chosen, use in ((prior_engine, False), (prior_engine, True), (engine, True)):
        goal = make_goal(chosen.model, calibration.conditionings[1])
        settings = PlannerSettings(candidates=70, horizon=6, use_prior=use)
        integers = planner_integers(chosen.model, settings, 4)
        plans.append(chosen.plan(goal, z, None, integers)[0])
    np.testing.assert_array_equal(plans[0], plans[2])
    assert (plans[0] != plans[1]).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), horizon=st.integers(1, 8), warm=st.booleans())
def test_hostile_priors(hostile_prior_engine, both_plans, seed, horizon, warm):
    rng = np.random.default_rng(seed)
    model = hostile_prior_engine.model
    goal, z = odd_goal(rng, model), latents(rng, model, 1)[0]
    expected = fit_horizon(IntegerModel(model).prior(goal, z), horizon)
    np.testing.assert_array_equal(hostile_prior_engine.prior(goal, z, horizon), expected)
    start = rng.integers(-32512, 32513, (horizon, 6)).astype(np.int16) if warm else None
    chosen = PlannerSettings(66, horizon, 1 + seed % 2)
    both_plans(hostile_prior_engine, chosen, seed, goal, z, start, plans=1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_number_of_actions(odd_width_engine, both_plans, seed):
    rng = np.random.default_rng(seed)
    model = odd_width_engine.model
    goal = odd_goal(rng, model)
    z, moves = latents(rng, model, 70), actions(rng, model, 70, 3)
    path = odd_width_engine.rollout(goal, z, moves)
    np.testing.assert_array_equal(path, IntegerModel(model).rollout(goal, z, moves))
    chosen = PlannerSettings(80, 4, smoothness=0.3)
    both_plans(odd_width_engine, chosen, seed, goal, z[0], None)


def test_models_as_wide_as_the_full_one(wide_engine, both_plans):
    rng = np.random.default_rng(12)
    model, reference = wide_engine.model, IntegerModel(wide_engine.model)
    goal = odd_goal(rng, model)
    z, moves = latents(rng, model, 70), actions(rng, model, 70, 3)
    path = wide_engine.rollout(goal, z, moves)
    np.testing.assert_array_equal(path, reference.rollout(goal, z, moves))
    cost, value = wide_engine.heads(goal, z)
    np.testing.assert_array_equal(cost, reference.cost(goal, z))
    np.testing.assert_array_equal(value, reference.value(goal, z))
    x = rng.choice(EDGES, model.features + model.proprio)
    np.testing.assert_array_equal(wide_engine.fuse(x), reference.fuse(x))
    both_plans(wide_engine, PlannerSettings(70, 5, 2), 7, goal, z[0], None)


@pytest.mark.parametrize("candidates", [2, 16, 32, 63, 64, 65, 200])
def test_plans_that_do_not_fill_their_last_tile(engine, calibration, both_plans, candidates):
    goal = make_goal(engine.model, calibration.conditionings[2])
    z = latents(np.random.default_rng(6), engine.model, 1)[0]
    chosen = PlannerSettings(candidates=candidates, horizon=3, iterations=2, smoothness=0.5)
    both_plans(engine, chosen, 2**32 - 1, goal, z, np.full((3, 4), 32512, np.int16))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sigma=st.floats(1e-3, 1.25),
    beta=st.floats(0, 0.999),
    temperature=st.floats(0, 16),
    floor=st.floats(1e-6, 1e4),
    value_weight=st.floats(0, 100),
    smoothness=st.floats(0, 100),
)
def test_hostile_plans_under_any_setting(
    hostile_engine, both_plans, seed, sigma, beta, temperature, floor, value_weight, smoothness
):
    rng = np.random.default_rng(seed)
    goal = odd_goal(rng, hostile_engine.model)
    z = latents(rng, hostile_engine.model, 1)[0]
    mean = rng.integers(-32512, 32513, (5, 6)).astype(np.int16)
    chosen = PlannerSettings(
        130, 5, 1 + seed % 2, sigma, beta, temperature, floor, value_weight, smoothness
    )
    both_plans(hostile_engine, chosen, seed, goal, z, mean, plans=1)


def test_the_cost_of_given_actions(engine, calibration):
    rng = np.random.default_rng(7)
    goal = make_goal(engine.model, calibration.conditionings[3])
    z, moves = latents(rng, engine.model, 1)[0], actions(rng, engine.model, 100, 16)
    reference = IntegerMppi(engine.model, PlannerSettings(smoothness=0.2, value_weight=0.7), 0)
    got = engine.rollout_cost(goal, z, moves, reference.integers)
    np.testing.assert_array_equal(got, reference.costs(goal, z, moves))
