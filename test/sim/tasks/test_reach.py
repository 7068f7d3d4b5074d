import os
import subprocess
import sys

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.closed_loop import ExpertController, RandomController
from sdiwm_sim.task import Task, make_task
from sdiwm_sim.tasks.reach import HOLD_TIME, SUCCESS_RADIUS, joints_for
from sdiwm_sim.trials import draw_trials, run_trials

STILL = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


def at_puck(task, puck, offset=(0.0, 0.0, 0.0)):
    """Put the resting fingertip on a puck's goal point."""
    point = task.goal_points()[puck] + np.array(offset, np.float32)
    state, proprio = task.state(), task.proprio()
    state[3:7] = joints_for(point, -1.3)
    proprio[4:] = 0
    task.restore(state, proprio)


def rest(task, seconds):
    for _ in range(round(seconds / task.physics_dt)):
        task.step(STILL)


def test_it_is_a_task(task):
    assert isinstance(task, Task)


def test_holding_the_named_puck_long_enough_is_success(task):
    task.reset(1, goal=2)
    at_puck(task, 2)
    rest(task, HOLD_TIME - task.physics_dt)
    assert not task.outcome().success
    rest(task, task.physics_dt)
    outcome = task.outcome()
    assert outcome.success
    assert outcome.time_to_success == pytest.approx(HOLD_TIME)
    assert not outcome.wrong_target
    assert not outcome.passed_over_wrong


def test_leaving_starts_the_hold_timer_anew(task):
    task.reset(1, goal=2)
    for _ in range(3):
        at_puck(task, 2)
        rest(task, 0.2)
        at_puck(task, 2, offset=(0.0, 0.0, 2 * SUCCESS_RADIUS))
        rest(task, 0.01)
    assert not task.outcome().success


def test_another_puck_is_passed_over_first_and_held_later(task):
    task.reset(1, goal=0)
    at_puck(task, 3)
    rest(task, 0.05)
    assert task.outcome().passed_over_wrong
    assert not task.outcome().wrong_target
    rest(task, HOLD_TIME)
    assert task.outcome().wrong_target
    assert not task.outcome().success


def test_a_new_goal_forgets_what_was_held(task):
    task.reset(1, goal=0)
    at_puck(task, 3)
    rest(task, 0.4)
    task.set_goal(3, "touch the yellow target")
    assert not task.outcome().success
    assert not task.outcome().passed_over_wrong
    rest(task, HOLD_TIME)
    assert task.outcome().success


def test_without_a_goal_nothing_is_success(task):
    task.reset(1)
    task.set_goal(None)
    at_puck(task, 1)
    rest(task, 0.4)
    assert not task.outcome().success
    assert task.outcome().wrong_target
    assert not task.expert_action().any()


def test_a_seed_fixes_the_whole_episode(task):
    def episode(seed):
        task.reset(seed)
        for _ in range(20):
            task.step(np.array([0.5, -0.2, 0.1, 1.0]))
        return task.instruction, task.goal, task.state(), task.proprio(), task.render()

    first, again, other = episode(7), episode(7), episode(8)
    assert first[:2] == again[:2]
    assert all(np.array_equal(a, b) for a, b in zip(first[2:], again[2:], strict=True))
    assert not np.array_equal(first[2], other[2])


def test_the_instruction_names_the_goal(task):
    for seed in range(20):
        task.reset(seed)
        assert task.instruction in task.train_instructions(task.goal)
    task.reset(0, goal=1, instruction="go")
    assert (task.goal, task.instruction) == (1, "go")


def test_pucks_are_in_reach_and_apart_and_the_arm_starts_free(task):
    for seed in range(100):
        task.reset(seed)
        points = task.goal_points()
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
        assert gaps[np.triu_indices(4, 1)].min() > 2 * SUCCESS_RADIUS
        assert task.data.ncon == 0
        assert not task.outcome().passed_over_wrong


def test_the_oracle_succeeds_and_random_actions_do_not(task):
    trials = draw_trials(task, [0], 50, "train")
    oracle = [r.outcome for r in run_trials(task, ExpertController(), trials)]
    random = [r.outcome for r in run_trials(task, RandomController(), trials)]
    assert sum(o.success for o in oracle) >= 49
    assert sum(o.wrong_target for o in oracle) == 0
    assert sum(o.success for o in random) <= 2


@pytest.mark.parametrize(
    "action", [np.zeros(3), np.zeros((4, 1)), np.array([0, 0, 0, np.nan]), np.full(4, np.inf)]
)
def test_a_bad_action_is_refused(task, action):
    task.reset(0)
    with pytest.raises(SdiwmError, match="4 finite numbers"):
        task.step(action)


def test_actions_are_clipped_to_their_range(task):
    task.reset(0)
    task.step(np.full(4, 9.0))
    assert np.allclose(task.data.ctrl, task.action_limit)


@pytest.mark.parametrize("size", [64, 200])
def test_the_picture_has_the_size_asked_for(task, size):
    task.reset(0)
    picture = task.render(size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_all_pucks_are_seen_and_project_says_where(task):
    colours = np.array([[230, 31, 26], [26, 191, 51], [31, 64, 242], [242, 217, 26]], float)
    for seed in range(5):
        task.reset(seed)
        state, proprio = task.state(), task.proprio()
        state[3:7] = (0.0, 1.9, 0.0, 0.0)  # the arm out of the way, straight up
        task.restore(state, proprio)
        picture = task.render(256).astype(float)
        tops = task.goal_points()
        tops[:, 2] = 0.01
        for pixel, colour in zip(task.project(tops, 256), colours, strict=True):
            column, row = pixel.round().astype(int)
            seen = picture[row, column]
            cosine = seen @ colour / np.linalg.norm(seen) / np.linalg.norm(colour)
            assert cosine > 0.97


def test_restore_brings_back_the_same_future(task):
    task.reset(5)
    state, proprio = task.state(), task.proprio()
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4))

    def play():
        for action in actions:
            task.step(action)
        return task.state()

    expected = play()
    task.reset(6)
    task.restore(state, proprio)
    assert np.allclose(play(), expected, atol=1e-5)


def test_starting_near_a_puck_is_near(task):
    rng = np.random.default_rng(0)
    for seed in range(20):
        task.reset(seed)
        task.start_near(seed % 4, rng)
        assert task.goal_costs()[seed % 4] < 0.08


def test_an_unknown_task_is_refused():
    with pytest.raises(SdiwmError, match="unknown task 'juggle': choose one of .*reach"):
        make_task("juggle")


NO_OPENGL = """
import ctypes, sys
load = ctypes.CDLL.__init__
def refuse(self, name, *args, **kwargs):
    if name and ("GL" in str(name) or "OSMesa" in str(name)):
        raise OSError(f"{name}: cannot open shared object file")
    load(self, name, *args, **kwargs)
ctypes.CDLL.__init__ = refuse
from sdiwm_model.cli import main
sys.exit(main(["collect", "--out", sys.argv[1], "--episodes", "1"]))
"""


@pytest.mark.parametrize("driver", ["egl", "glx", "osmesa", "nonsense"])
def test_without_opengl_one_sentence_names_the_remedy(driver, tmp_path):
    environment = {**os.environ, "MUJOCO_GL": driver, "PYOPENGL_PLATFORM": driver}
    done = subprocess.run(
        [sys.executable, "-c", NO_OPENGL, str(tmp_path / "data")],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("sdiwm: error: cannot render")
    assert "apt-get install" in sentence
    assert list(tmp_path.iterdir()) == []
