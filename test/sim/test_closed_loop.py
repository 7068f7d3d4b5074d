from types import SimpleNamespace

import numpy as np
import pytest

from sdiwm_model.planning.protocols import Plan, PlannerSettings
from sdiwm_model.runtime.observer import HostObserver
from sdiwm_sim.closed_loop import ExpertController, ModelController, run_episode
from sdiwm_sim.task import make_task

HORIZON = 4


class FakePlanner:
    def __init__(self, runtime):
        self.runtime = runtime

    def plan(self, z, c, warm_start):
        self.runtime.plans.append((z, c, warm_start))
        actions = np.linspace(0, 1, HORIZON * 4, dtype=np.float32).reshape(HORIZON, 4)
        return Plan(actions, 0.0, 1e-3)


class FakeRuntime:
    """Remembers what it was asked."""

    manifest = SimpleNamespace(
        planner=PlannerSettings(horizon=HORIZON),
        dt=0.04,
        sizes=SimpleNamespace(frames=1, image_size=64),
    )
    backend = "fake"

    def __init__(self):
        self.pictures, self.joints, self.sentences, self.plans, self.seeds = 0, 0, [], [], []

    def encode_image(self, image):
        self.pictures += 1
        return np.zeros(64, np.float32)

    def fuse(self, features, proprio):
        self.joints += 1
        return proprio

    def condition(self, instruction):
        self.sentences.append(instruction)
        return np.full(16, len(self.sentences), np.float32)

    def make_planner(self, settings, seed):
        self.seeds.append(seed)
        return FakePlanner(self)

    def make_observer(self):
        return HostObserver(self)


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


@pytest.fixture
def loop(task):
    runtime = FakeRuntime()
    controller = ModelController(runtime)
    task.reset(3)
    controller.begin(task, 10**17 + 3)
    return runtime, controller


def run(task, controller, ticks):
    for _ in range(ticks):
        task.step(controller.act(task))


def test_pictures_come_at_30_hz_and_plans_at_every_tick(task, loop):
    runtime, controller = loop
    run(task, controller, 200)  # 1 s
    assert runtime.pictures == 30
    assert runtime.joints == len(runtime.plans) == 200
    assert len(controller.timings.encode_ms) == 30
    assert controller.timings.plan_ms == [1.0] * 200


def test_a_slow_model_plans_once_a_model_step_and_sees_as_often(task):
    runtime = FakeRuntime()
    controller = ModelController(runtime, replan_every=8)
    task.reset(3)
    controller.begin(task, 3)
    actions = []
    for _ in range(200):  # 1 s
        actions.append(controller.act(task))
        task.step(actions[-1])
    first = np.linspace(0, 1, HORIZON * 4).reshape(HORIZON, 4)
    assert len(runtime.plans) == 25
    assert runtime.pictures == 30
    assert np.allclose(actions, first[0])
    assert np.allclose(runtime.plans[1][2], np.concatenate([first[1:], first[-1:]]))


def test_a_sentence_is_read_once_until_it_changes(task, loop):
    runtime, controller = loop
    run(task, controller, 5)
    task.set_goal(1, "now the green one")
    run(task, controller, 5)
    assert len(runtime.sentences) == 2
    assert [plan[1][0] for plan in runtime.plans] == [1] * 5 + [2] * 5


def test_a_plan_starts_from_the_last_one_moved_on_by_a_tick(task, loop):
    runtime, controller = loop
    run(task, controller, 2)
    assert runtime.plans[0][2] is None
    first = np.linspace(0, 1, HORIZON * 4).reshape(HORIZON, 4)
    moved = first + 0.125 * (np.concatenate([first[1:], first[-1:]]) - first)
    assert np.allclose(runtime.plans[1][2], moved, atol=1e-6)


def test_any_layout_gives_a_seed_that_planners_take(loop):
    assert 0 <= loop[0].seeds[0] < 2**32


def test_an_episode_ends_with_success(task):
    ticks = []
    outcome = run_episode(
        task, ExpertController(), 5, goal=1, on_tick=lambda t: ticks.append(t.time)
    )
    assert outcome.success
    assert outcome.time_to_success == pytest.approx(task.time)
    assert len(ticks) == round(task.time / task.physics_dt)


def test_an_episode_that_nobody_can_judge_ends_when_any_target_is_held(task):
    class ToBlue(ExpertController):
        def act(self, task):
            return task.expert_action(2)

    outcome = run_episode(task, ToBlue(), 5, instruction="that one", judged=False)
    assert not outcome.success
    assert outcome.wrong_target
    assert task.time < task.time_limit
    assert task.instruction == "that one"
