import numpy as np

from sdiwm_model.evaluation.baselines import (
    LinearModel,
    persistence,
    shuffled_in_time,
    time_mean,
)


def test_shuffling_in_time_keeps_each_start_its_own_actions():
    actions = np.arange(2 * 3 * 10 * 4, dtype=float).reshape(2, 3, 10, 4)
    shuffled = shuffled_in_time(actions, 0)
    assert not np.array_equal(shuffled, actions)
    order = np.argsort(shuffled[..., 0], axis=2)
    assert np.array_equal(np.take_along_axis(shuffled, order[..., None], axis=2), actions)
    assert np.array_equal(shuffled, shuffled_in_time(actions, 0))


def test_persistence_repeats_the_start():
    first = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert np.array_equal(persistence(first, 7)[:, :, 6], first)


def test_time_mean_is_taken_at_the_same_time_of_training_episodes():
    training = np.random.default_rng(0).normal(size=(5, 20, 4))
    means = time_mean(training, np.array([0, 9]), 10)
    assert means.shape == (2, 10, 4)
    assert np.allclose(means[1, -1], training[:, 19].mean(axis=0))
    longer = time_mean(training, np.array([9]), 15)
    assert np.allclose(longer[0, -1], training[:, 19].mean(axis=0))


def test_a_linear_world_is_predicted_by_the_linear_model():
    rng = np.random.default_rng(0)
    inner = np.linalg.qr(rng.normal(size=(4, 4)))[0] * 0.95
    outer = 0.05 * rng.normal(size=(2, 4))
    actions = rng.uniform(-1, 1, (20, 40, 2))
    latents = [rng.uniform(-0.5, 0.5, (20, 4))]
    for t in range(39):
        latents.append(latents[-1] @ inner + actions[:, t] @ outer)
    latents = np.stack(latents, axis=1)
    model = LinearModel.fit(latents, actions)
    predicted = model.rollout(latents[:, None, 0], actions[:, None, :39])
    assert np.allclose(predicted[:, 0], latents[:, 1:], atol=1e-2)


def test_an_unstable_linear_model_stays_where_latents_live():
    model = LinearModel(np.concatenate([2 * np.eye(3), np.zeros((2, 3))]))
    rolled = model.rollout(np.full((1, 1, 3), 0.1), np.zeros((1, 1, 500, 1)))
    assert np.abs(rolled).max() == 1
