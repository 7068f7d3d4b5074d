import numpy as np
import pytest
from dm_control import suite

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.closed_loop import ExpertController, RandomController
from sdiwm_sim.task import Task, make_task
from sdiwm_sim.tasks.cartpole import HOLD_TIME
from sdiwm_sim.trials import draw_trials, run_trials

STILL = np.zeros(1, np.float32)
UPRIGHT = np.array([0.0, 0.0, 1.0, 0.0, 0.0], np.float32)
NOTHING = np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def task():
    return make_task("cartpole")


def placed(task, cart=0.0, angle=0.0, speed=0.0, spin=0.0):
    task.restore(np.array([cart, np.sin(angle), np.cos(angle), speed, spin], np.float32), NOTHING)


def test_it_is_a_task(task):
    assert isinstance(task, Task)
    assert task.proprio().shape == (0,)
    assert task.physics_dt * task.ticks_per_step >= 0.04


def test_physics_and_reward_are_dm_controls(task):
    theirs = suite.load("cartpole", "swingup", task_kwargs={"random": 3})
    theirs.reset()
    task.reset(0)
    task.data.qpos[:], task.data.qvel[:] = theirs.physics.data.qpos, theirs.physics.data.qvel
    total = 0.0
    for tick in range(1000):
        action = np.array([np.sin(0.002 * tick * np.sqrt(tick))])
        step = theirs.step(action)
        task.step(action)
        total += step.reward
        assert task.reward() == pytest.approx(step.reward, abs=1e-12)
        assert np.allclose(task.data.qpos, theirs.physics.data.qpos, atol=1e-12)
    assert step.last()
    assert task.outcome().total_reward == pytest.approx(total)
    assert total > 20


def test_episodes_start_as_dm_controls_do(task):
    rng = np.random.RandomState(0)
    theirs = suite.load("cartpole", "swingup", task_kwargs={"random": rng})
    starts, own = [], []
    for seed in range(300):
        theirs.reset()
        starts.append(np.concatenate([theirs.physics.data.qpos, theirs.physics.data.qvel]))
        task.reset(seed)
        own.append(np.concatenate([task.data.qpos, task.data.qvel]))
    assert np.allclose(np.mean(starts, axis=0), np.mean(own, axis=0), atol=3e-3)
    assert np.allclose(np.std(starts, axis=0), np.std(own, axis=0), rtol=0.2)


def test_the_cost_falls_to_zero_at_the_top_and_ignores_the_action(task):
    task.reset(1)
    hanging = task.goal_costs()
    placed(task, angle=np.pi / 2)
    halfway = task.goal_costs()
    task.restore(UPRIGHT, NOTHING)
    assert hanging.shape == (1,)
    assert hanging[0] == pytest.approx(1.0, abs=1e-3)
    assert halfway[0] == pytest.approx(0.5**0.5)
    assert task.goal_costs()[0] == pytest.approx(0.0)
    for worse in ({"cart": 1.0}, {"angle": 0.3}, {"spin": 2.0}):
        placed(task, **worse)
        assert task.goal_costs()[0] > 0.1
    task.step(np.ones(1))
    assert 1 - task.goal_costs()[0] ** 2 == pytest.approx(task.reward() / 0.8)


def test_the_cost_near_the_top_grows_with_the_lean_as_a_distance_does(task):
    def leaning(angle):
        placed(task, angle=angle)
        return float(task.goal_costs()[0])

    assert leaning(0.1) == pytest.approx(2 * leaning(0.05), rel=0.01)


def test_the_oracle_is_as_good_as_the_best_known_and_random_actions_are_not(task):
    trials = draw_trials(task, [0], 5, "train")
    oracle = [r.outcome for r in run_trials(task, ExpertController(), trials)]
    random = [r.outcome for r in run_trials(task, RandomController(), trials)]
    assert min(o.total_reward for o in oracle) > 860
    assert all(o.success for o in oracle)
    assert max(o.total_reward for o in random) < 250
    assert not any(o.success for o in random)


def test_success_asks_for_a_pole_that_stands_at_the_end(task):
    def ending(fall_at):
        task.reset(2)
        for tick in range(1000):
            if tick == fall_at:
                placed(task, angle=1.0)
            task.step(task.expert_action())
        return task.outcome()

    assert ending(None).success
    assert ending(None).time_to_success < 3
    assert ending(300).success
    assert ending(300).time_to_success > 3
    fallen = ending(1000 - round(HOLD_TIME / task.physics_dt) + 1)
    assert not fallen.success
    assert fallen.time_to_success is None


def test_it_is_no_success_before_the_episode_is_over(task):
    task.reset(2)
    for _ in range(900):
        task.step(task.expert_action())
    assert task.arrived(0)
    assert not task.outcome().success


def test_without_a_goal_nothing_is_success_and_the_expert_rests(task):
    task.reset(2)
    task.set_goal(None)
    assert not task.expert_action().any()
    for _ in range(1000):
        task.step(task.expert_action(0))
    assert not task.outcome().success


def test_the_oracle_recovers_from_anywhere_on_the_rail(task):
    rng = np.random.default_rng(0)
    for _ in range(20):
        task.reset(0)
        placed(task, *rng.uniform(-1, 1, 4) * [1.2, np.pi, 1.0, 4.0])
        for _ in range(800):
            task.step(task.expert_action())
        assert task.arrived(0)


def test_a_seed_fixes_the_whole_episode(task):
    def episode(seed):
        task.reset(seed)
        for _ in range(20):
            task.step(np.array([0.5]))
        return task.instruction, task.state(), task.render()

    first, again, other = episode(7), episode(7), episode(8)
    assert first[0] == again[0]
    assert all(np.array_equal(a, b) for a, b in zip(first[1:], again[1:], strict=True))
    assert not np.array_equal(first[1], other[1])


def test_restoring_the_state_restores_the_motion(task):
    task.reset(4)
    for _ in range(100):
        task.step(np.array([0.7]))
    state = task.state()
    for _ in range(10):
        task.step(np.array([-0.3]))
    end = task.state()
    task.reset(5)
    task.restore(state, NOTHING)
    for _ in range(10):
        task.step(np.array([-0.3]))
    assert np.allclose(task.state(), end, atol=1e-4)


def test_half_of_the_near_starts_are_near_and_the_others_swing(task):
    rng = np.random.default_rng(0)
    costs, spins = [], []
    for _ in range(100):
        task.reset(0)
        task.start_near(0, rng)
        costs.append(float(task.goal_costs()[0]))
        spins.append(abs(float(task.state()[4])))
    assert 0.4 < np.mean(np.array(costs) < 0.6) < 0.7
    assert np.std(costs) > 0.05
    assert max(spins) > 6  # enough to swing through the top


def test_the_whole_pole_can_be_seen_wherever_the_cart_is(task):
    for cart in np.linspace(-1.8, 1.8, 7):
        placed(task, cart=cart)
        picture = task.render().astype(int)
        brown = (picture[..., 0] > picture[..., 2] + 20).nonzero()
        tip = task.project(task.fingertip()[None], 64)[0]
        assert abs(brown[0].min() - tip[1]) < 1.5  # the topmost brown pixel is the pole's end
        top = brown[1][brown[0] == brown[0].min()].mean() + 0.5
        assert abs(top - tip[0]) < 0.75


def test_a_picture_tells_angles_apart_that_are_less_than_a_pixel(task):
    def angled(angle):
        placed(task, angle=angle)
        return task.render().astype(int)

    assert np.abs(angled(0.0) - angled(0.02)).sum() > 50


@pytest.mark.parametrize("size", [64, 200])
def test_pictures_have_the_size_asked_for(task, size):
    picture = task.render(size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("action", [np.zeros(2), np.zeros((1, 1)), np.array([np.nan])])
def test_a_bad_action_is_refused(task, action):
    with pytest.raises(SdiwmError, match="1 finite number"):
        task.step(action)


def test_actions_are_clipped_to_their_range(task):
    task.reset(0)
    task.step(np.array([9.0]))
    assert task.data.ctrl[0] == 1.0


def test_a_goal_told_in_words_has_no_picture(task):
    with pytest.raises(SdiwmError, match="no picture"):
        task.goal_picture()


def test_no_sentence_is_both_to_be_followed_and_to_be_refused(task):
    train, heldout = set(task.train_instructions(0)), set(task.heldout_instructions(0))
    unrelated = set(task.unrelated_instructions())
    assert len(train) == len(task.train_instructions(0))
    assert not train & heldout
    assert not (train | heldout) & unrelated
