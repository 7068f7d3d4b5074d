import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Plan, PlannerSettings
from sdiwm_ros.chip import ABSENCE, PAUSE, ChipPlanner

Z, C = np.zeros(32, np.float32), np.zeros(16, np.float32)


class Statistics:
    sent = answered = repeated = reconnected = refused = damaged = unexpected = went_safe = 0


class Chip:
    """A chip whose presence and answers the test decides."""

    board = "test"
    statistics = Statistics()

    def __init__(self):
        self.present = self.answers = True
        self.asked = self.greeted = 0
        self.now = 100.0
        self.link = self

    def connect(self):
        self.greeted += 1
        if not self.present:
            raise SdiwmError("no chip at this port")
        return self

    def make_planner(self, settings, seed):
        return self

    def plan(self, z, c, warm_start):
        self.asked += 1
        if not self.answers:
            raise SdiwmError("no answer")
        return Plan(np.zeros((12, 4), np.float32), 0.0, 0.01)

    def read_statistics(self):
        return {"plans": self.asked, "action": [0]}


@pytest.fixture
def chip():
    return Chip()


@pytest.fixture
def planner(chip):
    return ChipPlanner(chip.connect, PlannerSettings(), 0, lambda: chip.now)


def refused(planner, words):
    with pytest.raises(SdiwmError, match=words):
        planner.plan(Z, C, None)


def test_a_chip_that_is_absent_is_greeted_once_a_second_and_used_when_it_comes(chip, planner):
    chip.present = False
    for _ in range(100):
        refused(planner, "no chip")
    assert chip.greeted == 1
    chip.present = True
    chip.now += ABSENCE + 0.01
    assert planner.plan(Z, C, None).actions.shape == (12, 4)
    assert planner.figures()["failures"] == 1


def test_a_silent_chip_is_given_pauses_and_planned_on_again_without_a_new_connection(chip, planner):
    planner.plan(Z, C, None)
    chip.answers = False
    for _ in range(100):
        refused(planner, "no answer")
    assert chip.asked == 2
    chip.answers = True
    chip.now += PAUSE + 0.01
    planner.plan(Z, C, None)
    assert chip.greeted == 1


def test_both_sides_counters_are_told(chip, planner):
    planner.plan(Z, C, None)
    figures = planner.figures()
    assert figures["chip_plans"] == 1
    assert {"link_sent", "link_damaged", "link_reconnected", "board", "went_safe"} <= set(figures)
