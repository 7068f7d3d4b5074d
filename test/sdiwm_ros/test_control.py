import time

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Plan, PlannerSettings
from sdiwm_ros.control import (
    ControlTiming,
    Fault,
    Planned,
    PlanningLoop,
    SetpointLoop,
    action_at,
)
from sdiwm_ros.realtime import LatestSlot
from sdiwm_ros.signals import CommandKind, Goal, Latent

TIMING = ControlTiming(period=0.005, grace=0.0025, observation_timeout=0.1, model_step=0.04)
LIMITS = np.array([2.0, 2.0], np.float32)
MS = 1_000_000
RAMP = np.stack([np.arange(16), -np.arange(16)], axis=1).astype(np.float32) / 20


class RecordingPlanner:
    settings = PlannerSettings()

    def __init__(self):
        self.warm_starts = []
        self.answer = RAMP

    def plan(self, z, c, warm_start):
        if z.shape != (32,):
            raise SdiwmError(f"latent of shape {z.shape}")
        self.warm_starts.append(warm_start)
        return Plan(self.answer, 0.0, 0.0)


class Clock:
    def __init__(self):
        self.ns = 10_000 * MS

    def __call__(self):
        return self.ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def planning(clock):
    return PlanningLoop(RecordingPlanner(), TIMING, LatestSlot(), LatestSlot(), clock)


def latent(stamp_ns, size=32):
    return Latent(np.zeros(size, np.float32), stamp_ns)


def plan_on(planning, value):
    planning._latents.put(value)
    planning.step()
    return planning._plans.take(time.monotonic())


def given_goal(planning, sentence="touch red"):
    planning.set_goal(Goal(np.zeros(16, np.float32), sentence))


def test_nothing_is_planned_before_there_is_a_goal(planning, clock):
    assert isinstance(plan_on(planning, latent(clock())), Fault)


def test_the_last_plan_moved_on_by_the_time_passed_warms_the_next(planning, clock):
    given_goal(planning)
    plan_on(planning, latent(clock()))
    clock.ns += 10 * MS
    plan_on(planning, latent(clock()))
    first, second = planning._planner.warm_starts
    assert first is None
    np.testing.assert_allclose(second[0], 0.75 * RAMP[0] + 0.25 * RAMP[1])


def test_a_new_goal_starts_cold(planning, clock):
    given_goal(planning)
    plan_on(planning, latent(clock()))
    given_goal(planning, "touch blue")
    clock.ns += 5 * MS
    assert plan_on(planning, latent(clock())).goal == 2
    assert planning._planner.warm_starts == [None, None]


def test_a_refused_instruction_stops_the_arm_even_without_a_new_observation(planning, clock):
    given_goal(planning)
    plan_on(planning, latent(clock()))
    planning.set_goal(Goal(None, "sing a song"))
    fault = planning._plans.take(time.monotonic())
    assert "sing a song" in fault.reason
    assert isinstance(plan_on(planning, latent(clock())), Fault)


def test_a_stale_observation_is_not_planned_on(planning, clock):
    given_goal(planning)
    fault = plan_on(planning, latent(clock() - 101 * MS))
    assert "101 ms old" in fault.reason


def test_a_latent_of_the_wrong_shape_is_refused_in_words(planning, clock):
    given_goal(planning)
    assert "shape (31,)" in plan_on(planning, latent(clock(), size=31)).reason


def test_a_plan_that_is_not_finite_is_never_sent(planning, clock):
    given_goal(planning)
    planning._planner.answer = np.full((16, 2), np.nan, np.float32)
    assert "not finite" in plan_on(planning, latent(clock())).reason


@pytest.fixture
def sent():
    return []


@pytest.fixture
def setpoints(clock, sent):
    return SetpointLoop(LIMITS, TIMING, LatestSlot(), sent.append, clock)


def offer(setpoints, value):
    setpoints._plans.put(value)
    setpoints.step()


def test_a_fresh_plan_is_sent_at_once_in_radians_a_second(setpoints, sent, clock):
    offer(setpoints, Planned(RAMP + 0.5, latent(clock()), 7))
    assert sent[-1].velocity.tolist() == [1.0, 1.0]
    assert (sent[-1].kind, sent[-1].goal) == (CommandKind.PLAN, 7)


def test_a_late_plan_is_replaced_by_the_next_action_of_the_previous_one(setpoints, sent, clock):
    offer(setpoints, Planned(RAMP, latent(clock()), 1))
    clock.ns += 40 * MS
    setpoints.step()
    assert sent[-1].kind is CommandKind.FALLBACK
    np.testing.assert_allclose(sent[-1].velocity, RAMP[1] * LIMITS)
    assert setpoints.counts[CommandKind.FALLBACK] == 1


def test_no_observation_for_100_ms_stops_the_arm(setpoints, sent, clock):
    offer(setpoints, Planned(RAMP + 0.5, latent(clock()), 1))
    clock.ns += 101 * MS
    setpoints.step()
    assert sent[-1].kind is CommandKind.SAFE
    assert not sent[-1].velocity.any()
    assert "no observation" in setpoints.problem


def test_a_fault_stops_the_arm_at_once(setpoints, sent, clock):
    offer(setpoints, Planned(RAMP + 0.5, latent(clock()), 1))
    offer(setpoints, Fault("the latent is not finite"))
    assert sent[-1].kind is CommandKind.SAFE
    assert setpoints.problem == "the latent is not finite"


def test_the_arm_moves_again_once_the_fault_is_over(setpoints, sent, clock):
    offer(setpoints, Fault("no goal"))
    offer(setpoints, Planned(RAMP, latent(clock()), 1))
    assert sent[-1].kind is CommandKind.PLAN
    assert setpoints.problem == ""


def test_the_same_fault_two_hundred_times_a_second_is_not_sent_as_often(setpoints, sent):
    for _ in range(20):
        offer(setpoints, Fault("no goal"))
    assert len(sent) <= 2


def test_actions_between_model_steps_are_interpolated_and_the_last_one_is_kept():
    np.testing.assert_allclose(action_at(RAMP, 1.5), (RAMP[1] + RAMP[2]) / 2)
    np.testing.assert_allclose(action_at(RAMP, 99.0), RAMP[-1])
