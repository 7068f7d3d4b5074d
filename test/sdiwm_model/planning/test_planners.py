import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.candidates import correlated_noise, propose, start_plan
from sdiwm_model.planning.cem import Cem
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Dynamics, Planner, PlannerSettings, shift_plan

PLANNERS = [Mppi, Cem]
C = np.zeros(1, np.float32)


class PointMass:
    """z' = z + gain * a with a quadratic cost around a target: solvable by hand."""

    action_size = 2

    def __init__(self, target=(0.5, -0.3), gain=0.2, prior=None, doubt=0.0):
        self.target = np.array(target, np.float32)
        self.gain = np.float32(gain)
        self.proposed = prior
        self.doubt = doubt  # how much an ensemble disagrees where the first coordinate is positive

    def step(self, z, a, c):
        return z + self.gain * a

    def cost(self, z, c):
        return np.square(z - self.target).sum(axis=-1)

    def value(self, z, c):
        return 2.0 * self.cost(z, c)

    def prior(self, z, c):
        return self.proposed

    def rollout_cost(self, z, actions, c, value_weight=1.0, disagreement=0.0):
        latents = np.repeat(z[None], len(actions), axis=0)
        total = np.zeros(len(actions), np.float32)
        for t in range(actions.shape[1]):
            latents = self.step(latents, actions[:, t], c)
            total = total + self.cost(latents, c)
            total = total + disagreement * self.doubt * (latents[:, 0] > 0)
        return total + value_weight * self.value(latents, c)


vectors = st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(lambda v: np.array(v, np.float32))
small = PlannerSettings(candidates=32, horizon=4)


def cost_of(dynamics, z, actions, weight=1.0):
    return float(dynamics.rollout_cost(z, actions[None], C, weight)[0])


def test_the_toy_model_and_the_planners_fit_their_protocols():
    assert isinstance(PointMass(), Dynamics)
    assert all(isinstance(kind(PointMass(), small, 0), Planner) for kind in PLANNERS)


@pytest.mark.parametrize("kind", PLANNERS)
@given(z=vectors, target=vectors, seed=st.integers(0, 2**32), warm=st.booleans())
@settings(max_examples=40, deadline=None)
def test_plans_stay_within_the_limits(kind, z, target, seed, warm):
    start = np.full((4, 2), 3.0, np.float32) if warm else None
    plan = kind(PointMass(target), small, seed).plan(z, C, start)
    assert plan.actions.shape == (4, 2)
    assert plan.actions.dtype == np.float32
    assert np.abs(plan.actions).max() <= 1.0


@pytest.mark.parametrize("kind", PLANNERS)
@given(z=vectors, target=vectors, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_reported_cost_is_never_worse_than_standing_still_or_the_warm_start(
    kind, z, target, seed
):
    dynamics = PointMass(target)
    warm = np.random.default_rng(seed).uniform(-1, 1, (4, 2)).astype(np.float32)
    plan = kind(dynamics, small, seed).plan(z, C, warm)
    for fallback in (np.zeros_like(warm), warm):
        assert plan.cost <= cost_of(dynamics, z, fallback) + 1e-5


@given(z=vectors, target=vectors, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_on_a_convex_model_a_cold_cem_plan_costs_what_it_says_and_beats_standing_still(
    z, target, seed
):
    dynamics = PointMass(target)
    plan = Cem(dynamics, small, seed).plan(z, C, None)
    found = cost_of(dynamics, z, plan.actions)
    assert plan.cost == pytest.approx(found, rel=1e-5, abs=1e-6)
    assert found <= cost_of(dynamics, z, np.zeros((4, 2), np.float32)) + 1e-6


@given(z=vectors, target=vectors, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_when_standing_still_is_best_by_far_mppi_stands_still(z, target, seed):
    dynamics = PointMass(z, gain=100.0)
    still = PlannerSettings(candidates=64, horizon=4, temperature=0.0)
    warm = np.ones((4, 2), np.float32)
    plan = Mppi(dynamics, still, seed).plan(z, C, warm)
    assert np.abs(plan.actions).max() < 1e-6
    assert plan.cost == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", PLANNERS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_plans_and_another_seed_another(kind, seed):
    z = np.zeros(2, np.float32)
    first, second, other = (kind(PointMass(), small, s) for s in (seed, seed, seed + 1))
    for _ in range(2):
        a, b, o = (planner.plan(z, C, None) for planner in (first, second, other))
        assert np.array_equal(a.actions, b.actions)
        assert a.cost == b.cost
        assert not np.array_equal(a.actions, o.actions)


@pytest.mark.parametrize("kind", PLANNERS)
def test_replanning_solves_a_quadratic_problem(kind):
    dynamics = PointMass()
    planner = kind(dynamics, PlannerSettings(candidates=256, horizon=8, iterations=3), seed=0)
    z, warm = np.zeros(2, np.float32), None
    for _ in range(20):
        warm = planner.plan(z, C, warm).actions
        z = dynamics.step(z, warm[0], C)
        warm = shift_plan(warm, 1.0)
    assert np.linalg.norm(z - dynamics.target) < 0.05


def test_iterations_lower_the_cost_of_the_mean():
    dynamics, z = PointMass(), np.zeros(2, np.float32)
    costs = []
    for iterations in (1, 2, 4, 8):
        options = PlannerSettings(candidates=256, horizon=8, iterations=iterations)
        plan = Mppi(dynamics, options, seed=1).plan(z, C, None)
        costs.append(cost_of(dynamics, z, plan.actions))
    assert costs == sorted(costs, reverse=True)


def test_smoothness_is_charged_for():
    z = np.zeros(2, np.float32)
    rough, smooth = (
        Mppi(PointMass(), PlannerSettings(256, 8, smoothness=s), seed=0).plan(z, C, None).actions
        for s in (0.0, 5.0)
    )
    assert np.square(np.diff(smooth, axis=0)).sum() < np.square(np.diff(rough, axis=0)).sum()


def test_a_planner_avoids_what_an_ensemble_disagrees_about():
    """The target lies where the model is unsure: a charge for that keeps the plan away."""
    ends = []
    for weight in (0.0, 5.0):
        dynamics = PointMass(doubt=1.0)
        settings = PlannerSettings(256, 6, iterations=4, disagreement=weight)
        z = np.array([-0.3, 0.0], np.float32)
        for action in Mppi(dynamics, settings, 0).plan(z, C, None).actions:
            z = dynamics.step(z, action, C)
        ends.append(z[0])
    assert ends[0] > 0.2
    assert ends[1] < 0.05


PRIOR = np.linspace(-0.9, 0.9, 12, dtype=np.float32).reshape(6, 2)


@pytest.mark.parametrize("horizon", [4, 6, 9])
def test_candidates_are_the_mean_rest_the_prior_and_noise_around_the_mean(horizon):
    mean = np.full((horizon, 2), 0.25, np.float32)
    options = PlannerSettings(4001, horizon, sigma=0.05)
    dynamics = PointMass(prior=PRIOR)
    start, prior = start_plan(dynamics, np.zeros(2, np.float32), C, options, mean)
    fitted = np.concatenate([PRIOR[:horizon], np.repeat(PRIOR[-1:], max(0, horizon - 6), 0)])
    assert np.array_equal(start, mean)
    assert np.array_equal(prior, fitted)
    sigma = np.full_like(mean, options.sigma)
    actions = propose(np.random.default_rng(0), mean, prior, sigma, options)
    assert np.array_equal(actions[0], mean)
    assert not actions[1].any()
    assert np.array_equal(actions[2], fitted)
    assert np.allclose(actions[3:].mean(axis=0), mean, atol=0.01)
    assert np.allclose(actions[3:].std(axis=0), 0.05, atol=0.005)


def test_without_a_warm_start_a_plan_begins_at_the_prior():
    for use, expected in ((True, PRIOR), (False, np.zeros_like(PRIOR))):
        options = PlannerSettings(16, 6, use_prior=use)
        dynamics = PointMass(prior=PRIOR)
        mean, prior = start_plan(dynamics, np.zeros(2, np.float32), C, options, None)
        assert np.array_equal(mean, expected)
        assert (prior is None) is not use


@pytest.mark.parametrize("kind", PLANNERS)
@given(candidates=st.integers(2, 9), seed=st.integers(0, 2**32), warm=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_plan_of_few_candidates_is_not_worse_than_the_prior(kind, candidates, seed, warm):
    dynamics = PointMass(prior=np.full((4, 2), 0.2, np.float32))
    z = np.zeros(2, np.float32)
    start = np.full((4, 2), -0.5, np.float32) if warm else None
    plan = kind(dynamics, PlannerSettings(candidates, 4), seed).plan(z, C, start)
    if candidates > 2 or not warm:
        assert plan.cost <= cost_of(dynamics, z, dynamics.proposed) + 1e-5


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_good_prior_needs_few_candidates(kind):
    """The way out of a far corner is a long run of equal actions, which noise rarely proposes."""
    z = np.array([-2.0, 2.0], np.float32)
    target = np.array([2.0, -2.0], np.float32)
    costs = []
    for prior in (None, np.tile(np.array([1.0, -1.0], np.float32), (16, 1))):
        dynamics = PointMass(target, prior=prior)
        plan = kind(dynamics, PlannerSettings(16, 16), seed=0).plan(z, C, np.zeros((16, 2)))
        costs.append(plan.cost)
    assert costs[1] < 0.7 * costs[0]


def test_noise_has_unit_variance_and_the_stated_correlation():
    noise = correlated_noise(np.random.default_rng(0), (20_000, 6, 2), beta=0.7)
    assert np.allclose(noise.var(axis=(0, 2)), 1.0, atol=0.03)
    assert np.mean(noise[:, :-1] * noise[:, 1:]) == pytest.approx(0.7, abs=0.02)


@given(fraction=st.floats(0, 1), seed=st.integers(0, 1000))
def test_shifting_interpolates_towards_the_next_step_and_repeats_the_last(fraction, seed):
    actions = np.random.default_rng(seed).uniform(-1, 1, (5, 3)).astype(np.float32)
    shifted = shift_plan(actions, fraction)
    assert shifted.dtype == np.float32
    assert np.array_equal(shifted[-1], actions[-1])
    expected = actions[:-1] + fraction * (actions[1:] - actions[:-1])
    assert np.allclose(shifted[:-1], expected, atol=1e-6)


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_warm_start_of_another_shape_is_refused(kind):
    with pytest.raises(SdiwmError, match=r"\(3, 2\).*\(4, 2\)"):
        kind(PointMass(), small, 0).plan(np.zeros(2, np.float32), C, np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("kind", PLANNERS)
def test_costs_that_are_not_finite_are_refused(kind):
    with pytest.raises(SdiwmError, match="not finite"):
        kind(PointMass(), small, 0).plan(np.full(2, np.nan, np.float32), C, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("candidates", 1), ("horizon", 0), ("beta", 1.0), ("sigma", 0.0), ("temperature", -1.0),
     ("temperature_floor", 0.0), ("iterations", 0), ("sigma", float("nan")),
     ("disagreement", -0.1), ("smoothness", -1.0)],
)  # fmt: skip
def test_settings_out_of_range_are_named(field, value):
    with pytest.raises(SdiwmError, match=f"planner.{field}"):
        PlannerSettings(**{field: value})


def test_a_shift_of_more_than_a_step_is_refused():
    with pytest.raises(SdiwmError):
        shift_plan(np.zeros((2, 2), np.float32), 1.5)
