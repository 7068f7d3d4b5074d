import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sdiwm_sim.environment  # noqa: F401 (registers)
from sdiwm_model.errors import SdiwmError


@pytest.fixture
def env():
    made = gymnasium.make("sdiwm/Reach-v0", render_mode="rgb_array")
    yield made
    made.close()


def test_gymnasiums_checker_has_no_complaint(env, recwarn):
    check_env(env.unwrapped)
    complaints = [str(w.message) for w in recwarn if "gymnasium" in str(w.filename)]
    assert not [c for c in complaints if "infinity" not in c]


def test_the_goal_can_be_chosen_and_reached(env):
    observation, info = env.reset(seed=1, options={"goal": 2, "instruction": "the blue one"})
    assert observation["instruction"] == "the blue one"
    assert info["goal"] == 2
    terminated = truncated = False
    while not (terminated or truncated):
        action = env.unwrapped.task.expert_action()
        observation, reward, terminated, truncated, info = env.step(action)
    assert terminated
    assert info["outcome"].success
    assert -0.03 < reward < 0


def test_an_episode_ends_after_six_seconds(env):
    env.reset(seed=1)
    steps, truncated = 0, False
    while not truncated:
        truncated = env.step(np.zeros(4, np.float32))[3]
        steps += 1
    assert steps == 150


def test_render_gives_a_picture_for_people(env):
    env.reset(seed=0)
    assert env.render().shape == (480, 480, 3)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(SdiwmError, match="render_mode"):
        sdiwm_sim.environment.TaskEnv(render_mode="human")
