import numpy as np
import pytest

from sdiwm_sim.behaviours import Demonstration
from sdiwm_sim.collect import make_behaviours, record_episode
from sdiwm_sim.task import make_task

START = np.linspace(0.0, 0.3, 15, dtype=np.float32), np.zeros(8, np.float32)  # state, joints


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


@pytest.mark.parametrize("name", sorted(make_behaviours()))
def test_actions_stay_in_range_and_differ_between_episodes(task, name):
    first, second = (
        record_episode(task, name, make_behaviours()[name](), seed, 40) for seed in (1, 2)
    )
    for episode in (first, second):
        assert episode.action.dtype == np.float32
        assert np.abs(episode.action).max() <= 1
    assert not np.array_equal(first.action, second.action)


def closest(task, name, wrong):
    """Median over episodes of the shortest distance to the named target, or to a wrong one."""
    found = []
    for seed in range(8):
        episode = record_episode(task, name, make_behaviours()[name](), seed, 100)
        counted = (np.arange(4) != episode.goal) == wrong
        found.append(episode.goal_cost[:, counted].min())
    return np.median(found)


def test_scripted_arms_go_to_the_named_target(task):
    assert closest(task, "scripted", wrong=False) < 0.03


def test_wrong_target_arms_go_to_another(task):
    assert closest(task, "wrong_target", wrong=True) < 0.03


def test_near_target_episodes_start_near_one(task):
    for seed in range(8):
        behaviour = make_behaviours()["near_target"]()
        episode = record_episode(task, "near_target", behaviour, seed, 2)
        assert episode.goal_cost[0].min() < 0.08


@pytest.mark.parametrize("name", ["reach", "push"])
def test_a_demonstration_ends_at_the_named_target_by_clean_actions_alone(name):
    task = make_task(name)
    for seed in range(3):
        episode = record_episode(task, "demonstration", Demonstration(), seed, 80)
        assert episode.goal_cost[-1, episode.goal] < 0.02
        settled = np.abs(np.diff(episode.action[-15:-1], axis=0))
        assert settled.max() < 0.2


def test_a_demonstrated_action_follows_from_the_state_alone(task):
    actions = []
    for seed in (1, 2):  # whose hands would be pitched in another way
        task.reset(seed, goal=2)
        task.restore(*START)
        actions.append(task.demonstrated_action())
    assert np.array_equal(*actions)
