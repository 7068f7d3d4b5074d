"""What ships touches what it is told to touch."""

import pytest

from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.shipped import bundle_folder
from sdiwm_sim.closed_loop import ModelController, RandomController
from sdiwm_sim.task import make_task
from sdiwm_sim.trials import draw_trials, run_trials


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


def successes(task, controller, split, episodes=12):
    results = run_trials(task, controller, draw_trials(task, [5], episodes, split))
    return sum(result.outcome.success for result in results)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_shipped_int8_model_touches_the_named_target(task, split):
    controller = ModelController(load_runtime(bundle_folder(None, "reach"), "native"))
    assert successes(task, controller, split) >= 9


def test_random_actions_do_not(task):
    assert successes(task, RandomController(), "train") <= 2


def test_the_target_follows_the_sentence_while_the_arm_moves(task):
    controller = ModelController(load_runtime(bundle_folder(None, "reach"), "native"))
    task.reset(424242, 0, "touch the red target")
    controller.begin(task, 0)
    before = task.goal_costs()
    for tick in range(600):
        if tick == 40:
            task.set_goal(2, "no, go to the blue one instead")
        task.step(controller.act(task))
    assert task.outcome().success
    assert task.goal_costs()[2] < before[2]
