import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.closed_loop import ExpertController, RandomController
from sdiwm_sim.task import Task, make_task
from sdiwm_sim.tasks.jaco_reach import BALL_RADIUS, BOX, HOLD_TIME
from sdiwm_sim.trials import draw_trials, run_trials

STILL = np.zeros(6, np.float32)


@pytest.fixture(scope="module")
def task():
    return make_task("jaco_reach")


def ball_at(task, offset):
    """Put the ball this far (m) from the pinch site along x, the arm at rest."""
    state, proprio = task.state(), task.proprio()
    state[-3:] = task.fingertip() + np.array([offset, 0.0, 0.0])
    proprio[12:18] = 0
    task.restore(state, proprio)


def test_it_is_a_task(task):
    assert isinstance(task, Task)
    assert len(task.train_instructions(0)) > 100


def test_widths_are_as_declared(task):
    groups = task.state_groups
    assert task.state().shape == (sum(group.count * group.width for group in groups),)
    assert [group.first for group in groups] == [0, 3, 15]
    assert task.proprio().shape == (21,)
    assert task.proprio()[-3:] == pytest.approx(task.fingertip())
    assert task.goal_costs().shape == (len(task.goals),)
    assert task.render(32).shape == (32, 32, 3 * len(task.cameras))


def test_the_rules_are_those_of_dm_control(task):
    from dm_control import manipulation

    environment = manipulation.load("reach_site_features", seed=0)
    assert environment.control_timestep() == pytest.approx(task.physics_dt)
    assert environment.task.control_timestep == pytest.approx(task.physics_dt)
    environment.reset()
    physics = environment.physics
    assert physics.named.model.site_size["target_site"][0] == BALL_RADIUS
    assert physics.named.model.site_size["target_spawn_area"] == pytest.approx(np.ptp(BOX, 0) / 2)
    assert physics.named.model.site_pos["target_spawn_area"] == pytest.approx(BOX.mean(0))
    spec = environment.action_spec()
    assert task.action_limit == pytest.approx(spec.maximum[:6])
    for offset, reward in ((0.9, 1.0), (1.1, 0.98)):
        tip = physics.named.data.site_xpos["jaco_arm/jaco_hand/pinchsite"]
        physics.named.model.site_pos["target_site"] = tip + [0, 0, offset * BALL_RADIUS]
        physics.forward()
        assert environment.task.get_reward(physics) == pytest.approx(reward, abs=0.01)


def test_holding_the_hand_in_the_ball_long_enough_is_success(task):
    task.reset(1)
    ball_at(task, 0.8 * BALL_RADIUS)
    ticks = int(np.ceil(HOLD_TIME / task.physics_dt))
    for _ in range(ticks - 1):
        task.step(STILL)
    assert not task.outcome().success
    task.step(STILL)
    assert task.outcome().success
    assert task.outcome().time_to_success == pytest.approx(ticks * task.physics_dt)


def test_beside_the_ball_is_no_success(task):
    task.reset(1)
    ball_at(task, 1.3 * BALL_RADIUS)
    for _ in range(20):
        task.step(STILL)
    assert not task.arrived(0)
    assert not task.outcome().success


def test_leaving_starts_the_hold_timer_anew(task):
    task.reset(1)
    for offset in (0.0, 2.0, 0.0):
        ball_at(task, offset * BALL_RADIUS)
        for _ in range(5):
            task.step(STILL)
    assert not task.outcome().success


def test_without_a_goal_nothing_is_success(task):
    task.reset(1)
    task.set_goal(None)
    ball_at(task, 0.0)
    assert not task.expert_action().any()
    for _ in range(10):
        task.step(STILL)
    assert not task.outcome().success
    assert task.outcome().wrong_target


def test_a_seed_fixes_the_whole_episode(task):
    def episode(seed):
        task.reset(seed)
        for _ in range(10):
            task.step(np.array([0.5, -0.2, 0.1, 1.0, 0.0, -1.0]))
        return task.instruction, task.state(), task.proprio(), task.render()

    first, other, again = episode(7), episode(10**17), episode(7)
    assert first[0] == again[0]
    assert all(np.array_equal(a, b) for a, b in zip(first[1:], again[1:], strict=True))
    assert not np.array_equal(first[1], other[1])


def test_hand_and_ball_start_in_the_box_and_the_instruction_is_a_known_one(task):
    for seed in range(50):
        task.reset(seed)
        for point in (task.fingertip(), task.ball()):
            assert (point >= BOX[0] - 0.01).all()
            assert (point <= BOX[1] + 0.01).all()
        assert task.instruction in task.train_instructions(task.goal)


def red_pixels(picture):
    """Rows and columns of the pixels that show the ball."""
    picture = picture.astype(int)
    return np.nonzero((picture[..., 0] > 60) & (picture[..., 1:].max(-1) < 20))


def test_the_cameras_see_the_ball_wherever_it_is(task):
    task.reset(0)
    state, proprio = task.state(), task.proprio()
    for corner in np.array(np.meshgrid(*BOX.T)).reshape(3, -1).T:
        state[-3:] = corner
        task.restore(state, proprio)
        picture = task.render()
        left, right = red_pixels(picture[..., :3]), red_pixels(picture[..., 3:])
        assert len(left[0]) + len(right[0]) > 60  # of about 60 in each, the arm may hide some
        if len(left[0]) > 45:
            where = left[1].mean() + 0.5, left[0].mean() + 0.5
            assert where == pytest.approx(task.project(corner[None], 64)[0], abs=1.5)


def test_what_is_drawn_moves_nothing(task):
    assert not np.array_equal(task._drawn.geom_type, task.model.geom_type)
    task.reset(3)
    before = task.state()
    task.render()
    assert np.array_equal(task.state(), before)


def test_a_restored_state_moves_on_as_the_first_did(task):
    task.reset(5)
    for _ in range(10):
        task.step(np.array([1.0, -0.5, 0.5, 1.0, -1.0, 1.0]))
    state, proprio = task.state(), task.proprio()
    task.step(STILL)
    later = task.state()
    task.reset(5)
    task.restore(state, proprio)
    assert task.state() == pytest.approx(state, abs=1e-6)
    assert task.proprio() == pytest.approx(proprio, abs=1e-6)
    task.step(STILL)
    assert task.state() == pytest.approx(later, abs=2e-3)


def test_a_near_start_is_near(task):
    rng = np.random.default_rng(0)
    for seed in range(20):
        task.reset(seed)
        before = task.ball()
        task.start_near(0, rng)
        assert task.goal_costs()[0] < 0.15
        assert np.array_equal(task.ball(), before)
        assert task.time == 0


def test_the_oracle_succeeds_and_random_actions_rarely_do(task):
    trials = draw_trials(task, [0], 40, "train")
    oracle = [r.outcome for r in run_trials(task, ExpertController(), trials)]
    random = [r.outcome for r in run_trials(task, RandomController(), trials)]
    assert sum(o.success for o in oracle) >= 39
    assert sum(o.success for o in random) <= 8


def test_the_goal_has_no_picture(task):
    with pytest.raises(SdiwmError, match="words"):
        task.goal_picture()


@pytest.mark.parametrize("action", [np.zeros(9), np.zeros((6, 1)), np.full(6, np.nan)])
def test_a_bad_action_is_refused(task, action):
    with pytest.raises(SdiwmError, match="6 finite numbers"):
        task.step(action)
