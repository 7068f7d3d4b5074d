"""The goal of `reach_goal_image` is a picture of the arm there; taking it moves nothing."""

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.task import make_task


@pytest.fixture(scope="module")
def task():
    return make_task("reach_goal_image")


@pytest.mark.parametrize("goal", range(4))
def test_the_picture_is_what_the_camera_sees_when_the_oracle_has_arrived(task, goal):
    task.reset(3, goal)
    promised = task.goal_picture().astype(int)
    before = np.abs(task.render().astype(int) - promised).mean()
    while not task.outcome().success and task.time < task.time_limit:
        task.step(task.expert_action())
    assert task.outcome().success
    assert np.abs(task.render().astype(int) - promised).mean() < 0.2 * before


def test_taking_the_picture_changes_nothing(task):
    task.reset(4, 1)
    for _ in range(20):
        task.step(np.full(4, 0.7))
    state, proprio, seen, now = task.state(), task.proprio(), task.render(), task.time
    task.goal_picture()
    assert np.array_equal(task.state(), state)
    assert np.array_equal(task.proprio(), proprio)
    assert np.array_equal(task.render(), seen)
    assert task.time == now


def test_every_goal_has_its_own_picture(task):
    task.reset(5)
    pictures = [task.goal_picture(goal=goal) for goal in range(4)]
    for i in range(4):
        for j in range(i):
            assert not np.array_equal(pictures[i], pictures[j])


def test_a_task_told_in_words_has_no_picture():
    with pytest.raises(SdiwmError, match="told in words"):
        make_task("reach").goal_picture()
