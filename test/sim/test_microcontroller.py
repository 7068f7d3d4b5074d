"""The arm driven through an emulated chip, in lockstep, moves as it does with the host's engine."""

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.mcu import McuRuntime
from sdiwm_sim.closed_loop import ModelController
from sdiwm_sim.task import make_task

SETTINGS = PlannerSettings(candidates=6, horizon=3)
TICKS = 60


@pytest.fixture(scope="module")
def chip(random_bundle):
    runtime = load_runtime(random_bundle, "mcu", port="pil")
    yield runtime
    runtime.close()


def driven(runtime):
    """Joint states of the first ticks of an episode, and the plans' own times in ms."""
    task = make_task("reach")
    controller = ModelController(runtime, SETTINGS)
    task.reset(5)
    controller.begin(task, 5)
    states = []
    for _ in range(TICKS):
        task.step(controller.act(task))
        states.append(task.proprio())
    return np.array(states), controller.timings.plan_ms


def test_an_episode_on_the_chip_is_that_of_the_host(chip, random_bundle):
    states, times = driven(chip)
    expected, _ = driven(load_runtime(random_bundle, "native"))
    np.testing.assert_array_equal(states, expected)
    again, repeated = driven(chip)
    np.testing.assert_array_equal(again, states)
    assert len(times) > 1
    np.testing.assert_allclose(repeated, times, rtol=0.02)  # instructions, not this machine's time


def test_a_chip_that_was_stopped_is_woken(chip):
    planner = chip.make_planner(SETTINGS, 0)
    z, c = np.zeros(32, np.float32), np.zeros(16, np.float32)
    first = planner.plan(z, c).actions
    chip.link.ask("Stop")
    planner.integers.plan = 0
    np.testing.assert_array_equal(planner.plan(z, c).actions, first)


def test_more_candidates_than_the_firmware_holds_are_refused(chip):
    with pytest.raises(SdiwmError, match="planner.candidates is 512: this firmware takes 64"):
        chip.make_planner(PlannerSettings(candidates=512), 0)


def test_the_default_settings_fit_the_chip(chip):
    planner = chip.manifest.planner
    assert (planner.candidates, planner.horizon) == (32, 4)  # the bundle's own, which are few


def test_a_port_that_is_not_there(random_bundle):
    with pytest.raises(SdiwmError, match="/dev/nothing cannot be opened"):
        McuRuntime(random_bundle, port="/dev/nothing")


def test_an_unknown_board_is_refused(random_bundle):
    with pytest.raises(SdiwmError, match="unknown board 'arduino'"):
        McuRuntime(random_bundle, port="pil:arduino")
