import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import (
    Whitening,
    centred_similarity,
    cosine,
    effective_rank,
    is_valid,
    probe_errors,
    retrieval_at_1,
    similarity,
    skill,
    whitened_r2,
)

Z = 8


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def offset_latents(rng, episodes=40, length=30, offset=3.0):
    """Correlated latents far from the origin, as trained encoders make them."""
    mixing = rng.normal(size=(Z, Z)) * np.linspace(1.0, 0.1, Z)
    return offset + rng.normal(size=(episodes, length, Z)) @ mixing.T


def test_a_perfect_prediction_scores_one(rng):
    latents = offset_latents(rng)
    whitening, true = Whitening.fit(latents), latents[:, None]
    assert np.allclose(similarity(whitening, true, true), 1)
    assert np.allclose(centred_similarity(whitening, true, true), 1)
    assert whitened_r2(whitening, true, true) == 1
    last = latents[:, -1]
    assert retrieval_at_1(whitening, last, last, latents[:, :-1], 0) == 1


def test_an_opposite_prediction_scores_minus_one(rng):
    latents = offset_latents(rng)
    whitening, true = Whitening.fit(latents), latents[:, None]
    assert np.allclose(similarity(whitening, 2 * whitening.mean - true, true), -1)


def test_a_constant_scores_high_raw_and_nothing_whitened(rng):
    latents = offset_latents(rng)
    whitening, true = Whitening.fit(latents), latents[:, None]
    constant = np.broadcast_to(whitening.mean + 0.01, true.shape)
    assert cosine(constant, true).mean() > 0.9
    assert abs(similarity(whitening, constant, true).mean()) < 0.1
    mean = np.broadcast_to(whitening.mean, true.shape)
    assert np.array_equal(similarity(whitening, mean, true), np.zeros(true.shape[:1] + (30,)))
    assert whitened_r2(whitening, mean, true) == pytest.approx(0)
    assert retrieval_at_1(whitening, mean[:, 0, -1], true[:, 0, -1], latents, 0) < 0.1


def test_one_loud_dimension_does_not_decide(rng):
    latents = rng.normal(size=(30, 20, Z))
    latents[..., 0] *= 100
    true = latents[:, None]
    whitening = Whitening.fit(latents)
    half_right = true.copy()
    half_right[..., 1:] = rng.normal(size=half_right[..., 1:].shape)
    raw = cosine(half_right, true).mean()
    assert raw > 0.95
    assert similarity(whitening, half_right, true).mean() < raw - 0.02


def test_whitened_training_latents_have_less_than_unit_variance_each_way(rng):
    latents = offset_latents(rng)
    values = np.linalg.eigvalsh(np.cov(Whitening.fit(latents)(latents).reshape(-1, Z).T))
    assert values.max() <= 1 / 0.9 + 1e-9
    assert values.min() > 0


def test_whitening_is_that_of_the_shrunk_covariance(rng):
    latents = offset_latents(rng)
    covariance = np.cov(latents.reshape(-1, Z).T)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / Z * np.eye(Z)
    matrix = Whitening.fit(latents).matrix
    assert np.allclose(matrix @ shrunk @ matrix.T, np.eye(Z))


def test_collapsed_latents_are_invalid_and_score_nothing():
    latents = np.full((5, 20, Z), 0.7)
    whitening = Whitening.fit(latents)
    assert whitening.effective_rank == 0
    assert not is_valid(whitening.effective_rank, 12)
    assert not similarity(whitening, latents[:, None], latents[:, None]).any()
    assert whitened_r2(whitening, latents, latents) == -np.inf


def test_latents_on_a_line_are_invalid(rng):
    latents = rng.normal(size=(5, 20, 1)) * np.ones(Z)
    rank = Whitening.fit(latents).effective_rank
    assert rank == pytest.approx(1, abs=1e-6)
    assert not is_valid(rank, 12)
    assert is_valid(6.0, 12)


def test_effective_rank_counts_equal_directions():
    assert effective_rank(np.diag([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)


@pytest.mark.parametrize("latents", [np.zeros((1, 4)), np.full((9, 4), np.nan)])
def test_no_statistics_without_finite_latents(latents):
    with pytest.raises(SdiwmError, match="finite latents"):
        Whitening.fit(latents)


def test_skill_is_measured_from_the_best_baseline():
    assert skill(0.9, {"a": 0.5, "b": -1.0}) == pytest.approx(0.8)
    assert skill(0.5, {"a": 0.5}) == 0
    assert skill(1.0, {"a": 0.2}) == 1
    assert np.isnan(skill(1.0, {"a": 1.0}))


def test_retrieval_never_compares_within_an_episode(rng):
    """Standing still makes an episode's latents equal: they must not count against it."""
    places = np.broadcast_to(rng.normal(size=(40, 1, Z)), (40, 20, Z))
    whitening = Whitening.fit(places)
    assert retrieval_at_1(whitening, places[:, -1], places[:, -1], places, 0) == 1
    strangers = np.roll(places[:, -1], 1, axis=0)
    assert retrieval_at_1(whitening, strangers, places[:, -1], places, 0) < 0.5


def test_retrieval_needs_enough_distractors(rng):
    few = rng.normal(size=(3, 10, Z))
    with pytest.raises(SdiwmError, match="256 latents of other episodes"):
        retrieval_at_1(Whitening.fit(few), few[:, 0], few[:, 0], few, 0)


GROUPS = [
    {"name": "tip", "unit": "m", "first": 0, "count": 1, "width": 3},
    {"name": "pucks", "unit": "m", "first": 3, "count": 2, "width": 2},
    {"name": "joints", "unit": "rad", "first": 7, "count": 2, "width": 1},
    {"name": "speed", "unit": "m/s", "first": 9, "count": 1, "width": 1},
]


def test_probe_errors_are_distances_in_the_unit_of_the_key():
    wrong = np.array([3.0, 4.0, 0.0, 0.0, 1.0, 0.0, 3.0, 0.5, -0.5, 7.0])[None, None]
    found = probe_errors(wrong, np.zeros((1, 1, 10)), GROUPS)
    assert found == {"tip_m": 5.0, "pucks_m": 2.0, "joints_rad": 0.5, "speed_m_per_s": 7.0}


def test_probe_errors_keep_the_time_and_mean_over_episodes_and_starts():
    wrong = np.zeros((2, 3, 4, 10))
    wrong[0, :, 1, 0] = 2.0
    assert probe_errors(wrong, np.zeros_like(wrong), GROUPS)["tip_m"].tolist() == [0, 1, 0, 0]


def test_a_full_turn_is_no_error_of_an_angle():
    wrong = np.full((1, 1, 10), 2 * np.pi + 0.1)
    found = probe_errors(wrong, np.zeros_like(wrong), GROUPS)
    assert found["joints_rad"] == pytest.approx(0.1)
    assert found["speed_m_per_s"] == pytest.approx(2 * np.pi + 0.1)


vectors = st.lists(st.floats(-100, 100), min_size=4, max_size=4).map(np.array)


@given(vectors, vectors)
@settings(deadline=None)
def test_cosine_is_bounded_symmetric_and_zero_for_zero(a, b):
    assert -1 - 1e-9 <= cosine(a, b) <= 1 + 1e-9
    assert cosine(a, b) == pytest.approx(cosine(b, a))
    assert cosine(a, np.zeros(4)) == 0


@given(st.integers(0, 2**31), st.floats(0.1, 10), st.floats(-5, 5))
@settings(deadline=None, max_examples=25)
def test_scale_and_offset_of_latents_do_not_change_the_score(seed, scale, offset):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(6, 2, 5, Z))
    predicted = true + rng.normal(size=true.shape)
    plain = similarity(Whitening.fit(true), predicted, true)
    moved = scale * true + offset
    again = similarity(Whitening.fit(moved), scale * predicted + offset, moved)
    assert plain == pytest.approx(again, abs=1e-6)
