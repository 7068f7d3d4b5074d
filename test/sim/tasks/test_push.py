import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.closed_loop import ExpertController, RandomController
from sdiwm_sim.task import Task, make_task
from sdiwm_sim.tasks.push import CONTACT, HOLD_TIME, REACH_WEIGHT, SUCCESS_RADIUS, way_to_push
from sdiwm_sim.tasks.push_instructions import (
    COLOUR_WORDS,
    GOALS,
    HELDOUT_ACTIONS,
    HELDOUT_NOUNS,
    heldout_instructions,
    heldout_unrelated_instructions,
    train_instructions,
    unrelated_instructions,
)
from sdiwm_sim.trials import draw_trials, run_trials

STILL = np.zeros(2, np.float32)
EVERY_GOAL = pytest.mark.parametrize("goal", range(len(GOALS)))


@pytest.fixture(scope="module")
def task():
    return make_task("push")


def put(task, puck, finger=(0.0, 0.0)):
    """Place puck and resting finger, (2,) m each."""
    task.restore(np.array([*finger, *puck], np.float32), np.zeros(4, np.float32))


def in_zone(task, zone):
    put(task, task.goal_points()[zone, :2])


def rest(task, seconds):
    for _ in range(round(seconds / task.physics_dt)):
        task.step(STILL)


def test_it_is_a_task_of_model_steps_long_enough(task):
    assert isinstance(task, Task)
    assert task.ticks_per_step * task.physics_dt >= 0.04
    assert task.ticks_per_step % task.control_ticks == 0


def test_a_puck_in_the_named_zone_long_enough_is_success(task):
    task.reset(1, goal=2)
    in_zone(task, 2)
    rest(task, HOLD_TIME - task.physics_dt)
    assert not task.outcome().success
    rest(task, task.physics_dt)
    outcome = task.outcome()
    assert outcome.success
    assert outcome.time_to_success == pytest.approx(HOLD_TIME)
    assert not outcome.wrong_target
    assert not outcome.passed_over_wrong
    assert outcome.total_reward is None


def test_leaving_starts_the_hold_timer_anew(task):
    task.reset(1, goal=2)
    for _ in range(3):
        in_zone(task, 2)
        rest(task, 0.2)
        put(task, task.goal_points()[2, :2] + [SUCCESS_RADIUS + 0.001, 0])
        rest(task, 0.01)
    assert not task.outcome().success


def test_another_zone_is_passed_over_first_and_held_later(task):
    task.reset(1, goal=0)
    in_zone(task, 3)
    rest(task, 0.05)
    assert task.outcome().passed_over_wrong
    assert not task.outcome().wrong_target
    rest(task, HOLD_TIME)
    assert task.outcome().wrong_target
    assert not task.outcome().success


def test_a_new_goal_forgets_what_was_held(task):
    task.reset(1, goal=0)
    in_zone(task, 3)
    rest(task, 0.4)
    task.set_goal(3, "push the puck to the yellow zone")
    assert not task.outcome().success
    assert not task.outcome().passed_over_wrong
    rest(task, HOLD_TIME)
    assert task.outcome().success


def test_without_a_goal_nothing_is_success(task):
    task.reset(1)
    task.set_goal(None)
    in_zone(task, 1)
    rest(task, 0.4)
    assert not task.outcome().success
    assert task.outcome().wrong_target
    assert not task.expert_action().any()


def test_a_seed_fixes_the_whole_episode(task):
    def episode(seed):
        task.reset(seed)
        for _ in range(20):
            task.step(np.array([0.5, -0.2]))
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


def test_the_puck_starts_in_no_zone_and_clear_of_the_finger(task):
    for seed in range(100):
        task.reset(seed)
        assert task.zone_distances().min() > SUCCESS_RADIUS + 0.01
        finger, puck = task.state()[:2], task.state()[2:]
        assert np.linalg.norm(finger - puck) > CONTACT
        assert task.data.ncon == 0


def test_the_oracle_succeeds_and_random_actions_do_not(task):
    trials = draw_trials(task, [0], 50, "train")
    oracle = [r.outcome for r in run_trials(task, ExpertController(), trials)]
    random = [r.outcome for r in run_trials(task, RandomController(), trials[:20])]
    assert sum(o.success for o in oracle) >= 49
    assert sum(o.wrong_target for o in oracle) == 0
    assert sum(o.success for o in random) <= 1


def test_a_puck_that_is_not_pushed_stands_still_and_a_pushed_one_stops(task):
    put(task, (0.0, 0.0), finger=(-CONTACT - 0.01, 0.0))
    rest(task, 0.5)
    assert np.allclose(task.state()[2:], 0.0, atol=1e-6)
    for _ in range(60):
        task.step(np.array([1.0, 0.0]))
    pushed = task.state()[2]
    assert pushed > 0.05
    rest(task, 0.1)
    stopped = task.state()[2]
    rest(task, 1.0)
    assert task.state()[2] - pushed < 0.015
    assert task.state()[2] - stopped < 0.001


def test_the_rim_holds_the_puck_where_the_finger_can_get_behind_it(task):
    put(task, (0.1, 0.1), finger=(0.03, 0.1))
    for _ in range(400):
        task.step(np.array([1.0, 0.3]))
    assert np.abs(task.state()[2:]).max() < 0.155
    put(task, (0.15, 0.15), finger=(0.15 + CONTACT + 0.005, 0.15))
    for _ in range(60):
        task.step(np.array([-1.0, 0.0]))
    assert task.state()[2] < 0.11


def test_the_way_to_push_is_straight_where_the_puck_is_not_in_it():
    puck, zone = np.zeros(2), np.array([0.1, 0.0])
    behind = np.array([-CONTACT, 0.0])
    assert way_to_push(behind, puck, zone) == pytest.approx(0.0, abs=1e-6)
    for finger in (np.array([-0.2, 0.0]), np.array([-0.1, 0.08])):
        straight = np.linalg.norm(finger - behind)
        assert way_to_push(finger, puck, zone) == pytest.approx(straight)


def test_the_way_to_push_goes_round_the_puck_and_is_continuous():
    puck, zone = np.array([0.02, -0.01]), np.array([0.1, 0.1])
    ahead = (zone - puck) / np.linalg.norm(zone - puck)
    assert way_to_push(puck + CONTACT * ahead, puck, zone) == pytest.approx(np.pi * CONTACT)
    angles = np.linspace(0, 2 * np.pi, 721)
    circle = puck + 0.09 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ways = np.array([way_to_push(finger, puck, zone) for finger in circle])
    assert np.abs(np.diff(ways)).max() < 1.01 * 0.09 * (angles[1] - angles[0])


def test_the_cost_is_as_documented(task):
    put(task, (0.0, 0.0), finger=(-0.15, -0.1))
    state, zone = task.state().astype(float), task.goal_points()[3, :2].astype(float)
    way = way_to_push(state[:2], state[2:], zone)
    assert task.goal_costs()[3] == pytest.approx(np.hypot(0.1, 0.1) + REACH_WEIGHT * way, abs=1e-5)
    for finger in ((0.0, 0.0), (0.15, 0.2)):
        put(task, (0.1, 0.1), finger=finger)  # in the zone it does not matter where the finger is
        assert task.goal_costs()[3] == pytest.approx(0.0, abs=1e-5)


def test_the_cost_falls_while_the_oracle_works(task):
    for seed in range(8):
        task.reset(seed)
        costs = []
        while not task.arrived(task.goal):
            costs.append(task.goal_costs()[task.goal])
            for _ in range(20):
                task.step(task.expert_action())
        assert np.diff(costs).max() < 0.004
        assert task.goal_costs()[task.goal] < 0.03


@pytest.mark.parametrize(
    "action", [np.zeros(4), np.zeros((2, 1)), np.array([0, np.nan]), np.full(2, np.inf)]
)
def test_a_bad_action_is_refused(task, action):
    task.reset(0)
    with pytest.raises(SdiwmError, match="2 finite numbers"):
        task.step(action)


def test_actions_are_clipped_to_their_range(task):
    task.reset(0)
    task.step(np.full(2, 9.0))
    assert np.allclose(task.data.ctrl, task.action_limit)


@pytest.mark.parametrize("size", [64, 200])
def test_the_picture_has_the_size_asked_for(task, size):
    task.reset(0)
    picture = task.render(size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_all_zones_and_the_puck_are_seen_and_project_says_where(task):
    put(task, (0.0, 0.0), finger=(-0.2, 0.03))
    colours = np.array([[230, 31, 26], [26, 166, 51], [31, 64, 242], [242, 204, 26]], float)
    picture = task.render(256).astype(float)
    points = np.concatenate([task.goal_points(), [[0.0, 0.0, 0.036]]])
    pixels = task.project(points, 256).round().astype(int)
    for (column, row), colour in zip(pixels, [*colours, np.full(3, 255.0)], strict=True):
        seen = picture[row, column]
        assert seen @ colour / np.linalg.norm(seen) / np.linalg.norm(colour) > 0.97
    column, row = pixels[-1]
    assert picture[row, column].min() > 200


def test_restore_brings_back_the_same_future(task):
    task.reset(5)
    state, proprio = task.state(), task.proprio()
    toward = state[2:] - state[:2]
    actions = np.tile(toward / np.abs(toward).max(), (150, 1))

    def play():
        for action in actions:
            task.step(action)
        return task.state()

    expected = play()
    assert not np.allclose(expected[2:], state[2:], atol=0.01)
    task.reset(6)
    task.restore(state, proprio)
    assert np.allclose(play(), expected, atol=1e-5)


def test_starting_near_is_near_the_puck_and_often_near_the_zone_or_behind_it(task):
    rng = np.random.default_rng(0)
    near = behind = 0
    for seed in range(40):
        task.reset(seed)
        task.start_near(seed % 4, rng)
        finger, puck = task.state()[:2], task.state()[2:]
        assert CONTACT < np.linalg.norm(finger - puck) < CONTACT + 0.051
        assert np.abs(puck).max() <= 0.1501
        near += task.zone_distances()[seed % 4] < 0.1
        behind += np.abs(puck).min() > 0.12
    assert 20 <= near < 40
    assert behind >= 3


@EVERY_GOAL
def test_sentences_are_many_different_and_always_the_same(goal):
    train, heldout = train_instructions(goal), heldout_instructions(goal)
    assert len(set(train)) == len(train) >= 300
    assert len(set(heldout)) == len(heldout) >= 40
    assert train == train_instructions(goal)
    assert heldout == heldout_instructions(goal)
    assert train[0] == f"push the puck to the {GOALS[goal]} zone"


@EVERY_GOAL
def test_every_sentence_names_its_colour(goal):
    for sentence in train_instructions(goal) + heldout_instructions(goal):
        assert any(word in sentence for word in COLOUR_WORDS[GOALS[goal]]), sentence
        assert "{" not in sentence


def test_no_sentence_is_trained_on_and_tested_or_has_two_labels():
    seen = set(unrelated_instructions())
    for sentences in (
        heldout_unrelated_instructions(),
        *(train_instructions(goal) for goal in range(len(GOALS))),
        *(heldout_instructions(goal) for goal in range(len(GOALS))),
    ):
        assert not seen & set(sentences)
        seen |= set(sentences)


@EVERY_GOAL
def test_held_out_verbs_and_nouns_never_occur_in_training(goal):
    words = set(" ".join(train_instructions(goal)).replace(",", " ").split())
    assert not words & set(HELDOUT_NOUNS)
    assert not words & {action.split()[0] for action in HELDOUT_ACTIONS} - {"position", "steer"}


def test_sentences_about_other_places_are_unrelated():
    assert "push the puck to the purple zone" in unrelated_instructions()
    assert "push the puck" in unrelated_instructions()
    assert "push the puck to the magenta zone" in heldout_unrelated_instructions()
