from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.data.episodes import Episode
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.imagination import (
    conditionings,
    encode,
    imagine,
    other_episodes,
    spread_starts,
    starting_latents,
    windows,
)
from sdiwm_model.runtime.history import CHANGE


class CountingRuntime:
    """Latents are the joints plus the brightness of all pictures; a rollout adds up actions."""

    def __init__(self, frames=1, goal_image=False):
        sizes = SimpleNamespace(frames=frames, goal_image=goal_image)
        self.manifest = SimpleNamespace(sizes=sizes)

    def encode_image(self, image):
        return np.float32([image.mean()])

    def fuse(self, features, proprio):
        return (features.sum() + proprio).astype(np.float32)

    def condition(self, sentence):
        return np.float32([len(sentence), 0])

    def condition_image(self, image):
        return np.float32([image.mean(), 0])

    def rollout(self, z, actions, c):
        return z + np.cumsum(actions, axis=0) + c


def episode(length, level=0):
    rng = np.random.default_rng(length)
    return Episode(
        frames=np.full((length, 4, 4, 3), level, np.uint8),
        proprio=rng.normal(size=(length, 2)).astype(np.float32),
        action=rng.normal(size=(length, 2)).astype(np.float32),
        goal_cost=np.zeros((length, 4), np.float32),
        state=rng.normal(size=(length, 5)).astype(np.float32),
        instruction="go", goal=1, behaviour="random", seed=0,
    )  # fmt: skip


def test_episodes_are_encoded_and_cut_to_the_shortest():
    seen = []
    encoded = encode(CountingRuntime(), [episode(9), episode(7, 3)], lambda: seen.append(1))
    assert encoded.latents.shape == (2, 7, 2)
    assert np.allclose(encoded.latents[1], encoded.proprio[1] + 3)
    assert encoded.goals.tolist() == [1, 1]
    assert len(seen) == 2


def test_no_episode_is_refused():
    with pytest.raises(SdiwmError, match="holds no episodes"):
        encode(CountingRuntime(), [])


def test_rollouts_start_at_the_latent_and_take_the_recorded_actions():
    encoded = encode(CountingRuntime(), [episode(12), episode(12, 3)])
    starts = spread_starts(12, 5, 3)
    assert starts.tolist() == [0, 3, 6]
    first = starting_latents(CountingRuntime(), encoded, starts)
    assert np.allclose(first, encoded.latents[:, starts])
    actions = windows(encoded.actions, starts, 5)
    c = np.float32([[10.0, 0.0], [20.0, 0.0]])
    imagined = imagine(CountingRuntime(), first, actions, c)
    assert imagined.shape == (2, 3, 5, 2)
    expected = encoded.latents[1, 3] + encoded.actions[1, 3:8].sum(axis=0) + c[1]
    assert np.allclose(imagined[1, 1, -1], expected, atol=1e-5)


def test_a_latent_of_several_pictures_sees_those_before_it():
    moving = episode(6)
    moving.frames[:] = np.arange(6)[:, None, None, None] * 10
    encoded = encode(CountingRuntime(frames=3), [moving])
    once, twice = 10 * CHANGE, 20 * CHANGE  # since one picture before, and since two
    assert encoded.features[0].tolist() == [
        [0, 0, 0], [10, once, once], *([10 * k, once, twice] for k in (2, 3, 4, 5)),
    ]  # fmt: skip
    assert np.allclose(encoded.latents[0, 4], encoded.proprio[0, 4] + 40 + once + twice)
    first = starting_latents(CountingRuntime(frames=3), encoded, np.array([4]))
    assert np.allclose(first, encoded.latents[:, [4]])


def test_an_episode_is_told_its_goal_in_words():
    encoded = encode(CountingRuntime(), [episode(9), episode(9)])
    assert conditionings(CountingRuntime(), encoded, ["to a", "to bcd"], 0)[:, 0].tolist() == [6, 6]


def test_a_goal_picture_is_never_of_the_same_episode():
    runtime = CountingRuntime(goal_image=True)
    encoded = encode(runtime, [episode(9, level) for level in range(7)])
    told = conditionings(runtime, encoded, [], 0)[:, 0]
    assert sorted(told) == list(range(7))
    assert (told != np.arange(7)).all()


@pytest.mark.parametrize("count", [2, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_every_episode_gets_another_one_and_each_is_taken_once(count, seed):
    other = other_episodes(count, seed)
    assert sorted(other) == list(range(count))
    assert (other != np.arange(count)).all()


def test_one_episode_has_no_other():
    with pytest.raises(ValueError, match="no other"):
        other_episodes(1, 0)


def test_windows_never_cross_an_episode():
    assert spread_starts(101, 100, 4).tolist() == [0]
    assert spread_starts(150, 100, 4).max() == 49
    assert spread_starts(150, 100, 4, first=2).min() == 2
    with pytest.raises(SdiwmError, match="needs episodes of 101 steps, the shortest has 100"):
        spread_starts(100, 100, 4)
