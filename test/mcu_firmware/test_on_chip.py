"""The planner on emulated chips returns the reference's integers."""

import numpy as np
import pytest

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import make_goal
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.vectors import VectorChip, expected
from sdiwm_model.planning.protocols import PlannerSettings

EMULATED = [board for board in BOARDS.values() if board.machine]


@pytest.fixture(scope="module", params=EMULATED, ids=lambda board: board.name)
def board(request):
    return request.param


@pytest.fixture(scope="module")
def chip(board, quantised_with_prior):
    with VectorChip(board, quantised_with_prior) as running:
        yield running


@pytest.fixture(scope="module")
def goal(quantised_with_prior, calibration):
    return make_goal(quantised_with_prior, calibration.conditionings[0])


@pytest.mark.parametrize(
    ("part", "count", "horizon"),
    [("rollout", 501, 2), ("heads", 333, 1), ("fuse", 41, 1), ("prior", 17, 16)],
)
def test_parts(chip, goal, part, count, horizon):
    reply = chip.run(part, goal, 11, count, horizon)
    assert reply.checksum == expected(chip.model, part, goal, 11, count, horizon)


@pytest.mark.parametrize(
    ("candidates", "horizon", "iterations"), [(2, 1, 1), (15, 5, 2), (33, 3, 1)]
)
def test_plans(chip, goal, candidates, horizon, iterations):
    chosen = PlannerSettings(candidates, horizon, iterations, smoothness=0.3)
    planner = IntegerMppi(chip.model, chosen, 2**32 - 1)
    planner.integers.cold = 1
    sent = type(planner.integers).from_buffer_copy(planner.integers)
    reply = chip.run("plan", goal, 12, 3, settings=sent)
    assert reply.checksum == expected(chip.model, "plan", goal, 12, 3, planner=planner)


@pytest.mark.parametrize(
    "widths",
    [{"action": 9, "plan_horizon": 2}, {"action": 4, "latent": 164, "hidden": 172}],
    ids=["9-actions-with-prior", "more-than-an-unrolled-loop"],
)
def test_hostile_models_of_odd_widths(board, hostile_of, widths):
    model = hostile_of(**widths)
    goal = make_goal(model, np.full(model.conditioning, 0.7, np.float32))
    with VectorChip(board, model) as chip:
        for part, count, horizon in (("rollout", 70, 3), ("heads", 50, 1), ("fuse", 9, 1)):
            reply = chip.run(part, goal, 13, count, horizon)
            assert reply.checksum == expected(model, part, goal, 13, count, horizon), part
        planner = IntegerMppi(model, PlannerSettings(19, 4), 5)
        planner.integers.cold = 1
        sent = type(planner.integers).from_buffer_copy(planner.integers)
        reply = chip.run("plan", goal, 14, 2, settings=sent)
        assert reply.checksum == expected(model, "plan", goal, 14, 2, planner=planner)


def test_a_wrong_goal_is_noticed(chip, goal, calibration):
    other = make_goal(chip.model, calibration.conditionings[1])
    assert chip.run("heads", other, 11, 9).checksum != expected(chip.model, "heads", goal, 11, 9)
