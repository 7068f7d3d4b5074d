import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.task import make_task


def moved(task, seconds):
    """The joint positions after `seconds` of one action."""
    task.reset(5)
    action = np.full(len(task.action_limit), 0.3, np.float32)
    for _ in range(round(seconds / task.physics_dt)):
        task.step(action)
    return task.proprio()[: len(task.joint_names)]


@pytest.mark.parametrize("name", ["reach", "push"])
def test_shorter_ticks_change_neither_the_model_step_nor_the_motion(name):
    usual, finer = make_task(name), make_task(name, 0.004)
    assert finer.physics_dt == 0.004
    assert finer.ticks_per_step * finer.physics_dt == usual.ticks_per_step * usual.physics_dt
    assert finer.control_ticks * finer.physics_dt <= usual.control_ticks * usual.physics_dt
    before = moved(usual, 0.0)
    np.testing.assert_allclose(moved(finer, 0.0), before)
    after = moved(usual, 0.2)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(moved(finer, 0.2), after, atol=0.002)
    assert finer.time == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "tick", "words"),
    [
        ("reach", 0.003, "do not divide"),
        ("reach", 1.0, "do not divide"),
        ("cartpole", 0.004, "100"),
    ],
)
def test_ticks_that_a_task_cannot_have_are_refused_in_words(name, tick, words):
    with pytest.raises(SdiwmError, match=words):
        make_task(name, tick)
