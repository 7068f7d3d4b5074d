import time

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Plan, PlannerSettings
from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.control import (
    ControlTiming,
    Fault,
    Planned,
    PlanningLoop,
    SetpointLoop,
    action_at,
)
from sdiwm_ros.latency import LatencyCompensation
from sdiwm_ros.realtime import LatestSlot
from sdiwm_ros.signals import ChipPlan, CommandKind, Goal, Latent
from sdiwm_ros.takeover import Takeover

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
        self.ns, self.leapt = 10_000 * MS, 0

    def __call__(self):
        return self.ns

    def steady(self):
        return self.ns - self.leapt

    def leap(self, ns):
        self.ns += ns
        self.leapt += ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def planning(clock):
    return make_planning(clock)


def make_planning(clock, **extra):
    watch = ClockWatch(clock, monotonic=clock.steady)
    slots = LatestSlot(), LatestSlot()
    return PlanningLoop(RecordingPlanner(), TIMING, *slots, clock, watch, **extra)


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


def planned(stamp_ns, actions=RAMP, goal=1, starts_ns=None):
    return Planned(actions, latent(stamp_ns), goal, stamp_ns if starts_ns is None else starts_ns)


def offer(setpoints, value):
    setpoints._plans.put(value)
    setpoints.step()


def test_a_fresh_plan_is_sent_at_once_in_radians_a_second(setpoints, sent, clock):
    offer(setpoints, planned(clock(), RAMP + 0.5, 7))
    assert sent[-1].velocity.tolist() == [1.0, 1.0]
    assert (sent[-1].kind, sent[-1].goal) == (CommandKind.PLAN, 7)


def test_a_late_plan_is_replaced_by_the_next_action_of_the_previous_one(setpoints, sent, clock):
    offer(setpoints, planned(clock()))
    clock.ns += 40 * MS
    setpoints.step()
    assert sent[-1].kind is CommandKind.FALLBACK
    np.testing.assert_allclose(sent[-1].velocity, RAMP[1] * LIMITS)
    assert setpoints.counts[CommandKind.FALLBACK] == 1


def test_no_observation_for_100_ms_stops_the_arm(setpoints, sent, clock):
    offer(setpoints, planned(clock(), RAMP + 0.5))
    clock.ns += 101 * MS
    setpoints.step()
    assert sent[-1].kind is CommandKind.SAFE
    assert not sent[-1].velocity.any()
    assert "no observation" in setpoints.problem


def test_a_fault_stops_the_arm_at_once(setpoints, sent, clock):
    offer(setpoints, planned(clock(), RAMP + 0.5))
    offer(setpoints, Fault("the latent is not finite"))
    assert sent[-1].kind is CommandKind.SAFE
    assert setpoints.problem == "the latent is not finite"


def test_the_arm_moves_again_once_the_fault_is_over(setpoints, sent, clock):
    offer(setpoints, Fault("no goal"))
    offer(setpoints, planned(clock()))
    assert sent[-1].kind is CommandKind.PLAN
    assert setpoints.problem == ""


def test_the_same_fault_two_hundred_times_a_second_is_not_sent_as_often(setpoints, sent):
    for _ in range(20):
        offer(setpoints, Fault("no goal"))
    assert len(sent) <= 2


def test_actions_between_model_steps_are_interpolated_and_the_last_one_is_kept():
    np.testing.assert_allclose(action_at(RAMP, 1.5), (RAMP[1] + RAMP[2]) / 2)
    np.testing.assert_allclose(action_at(RAMP, 99.0), RAMP[-1])


@pytest.mark.parametrize("leap_s", [-3600, -0.05, 0.05, 3600])
def test_a_jump_of_the_clock_drops_what_was_known_and_is_survived(planning, clock, leap_s):
    given_goal(planning)
    plan_on(planning, latent(clock()))
    clock.leap(int(leap_s * 1e9))
    fault = plan_on(planning, latent(clock()))
    assert "clock jumped" in fault.reason
    clock.ns += 4 * MS
    assert isinstance(plan_on(planning, latent(clock())), Planned)
    assert planning._planner.warm_starts == [None, None]
    assert planning.clock_jumps == 1


def test_an_observation_from_the_future_is_not_planned_on(planning, clock):
    given_goal(planning)
    assert "in the future" in plan_on(planning, latent(clock() + 30 * MS)).reason


def test_when_the_clock_goes_back_an_old_plan_is_not_continued(setpoints, sent, clock):
    offer(setpoints, planned(clock(), RAMP + 0.5))
    clock.leap(-3_600_000 * MS)
    setpoints.step()
    assert sent[-1].kind is CommandKind.SAFE


def test_when_the_clock_stands_still_an_old_plan_still_ends(setpoints, sent, clock):
    offer(setpoints, planned(clock(), RAMP + 0.5))
    deadline = time.monotonic() + 0.5
    while sent[-1].kind is not CommandKind.SAFE:
        setpoints.step()
        assert time.monotonic() < deadline
    assert "no observation for 100 ms" in setpoints.problem


class Drift:
    def rollout(self, z, actions, c):
        return z + np.cumsum(np.ones((len(actions), 1), np.float32), axis=0)


def make_compensation(seconds, actuation=0.0):
    compensation = LatencyCompensation(Drift(), LIMITS, 0.04, actuation, 0.1, lambda: None)
    compensation.answered(seconds)
    return compensation


def test_a_plan_starts_where_and_when_its_first_action_acts(clock):
    planning = make_planning(clock, compensation=make_compensation(0.02))
    seen = []
    answer = planning._planner.plan
    planning._planner.plan = lambda z, c, warm: seen.append(z[0]) or answer(z, c, warm)
    given_goal(planning)
    plan = plan_on(planning, latent(clock()))
    assert seen == [0.5]  # half a model step
    assert plan.starts_ns == clock() + 20 * MS
    assert plan.latent.stamp_ns == clock()


def test_a_late_plans_next_action_is_the_one_due_when_it_acts(clock, sent):
    compensation = make_compensation(0.0, actuation=0.03)
    loop = SetpointLoop(LIMITS, TIMING, LatestSlot(), sent.append, clock, compensation)
    offer(loop, planned(clock(), starts_ns=clock() + 40 * MS))
    clock.ns += 50 * MS  # acts 80 ms after the observation, 40 ms after the plan's start
    loop.step()
    np.testing.assert_allclose(sent[-1].velocity, RAMP[1] * LIMITS)


def test_the_latency_that_is_compensated_is_the_one_measured(clock, sent):
    compensation = make_compensation(0.01)
    loop = SetpointLoop(LIMITS, TIMING, LatestSlot(), sent.append, clock, compensation)
    for _ in range(300):
        offer(loop, planned(clock() - 5 * MS))
    assert compensation.latency == pytest.approx(0.005, abs=1e-3)


GOAL = Goal(np.zeros(16, np.float32), "touch red")


def chip_plan(clock, goal=GOAL, age_ms=15, actions=RAMP):
    stamp = clock() - age_ms * MS
    return ChipPlan(actions, stamp, stamp + 15 * MS, goal.fingerprint)


def chip_led(clock, **extra):
    """A loop whose chip has just been well for long enough."""
    planning = make_planning(clock, chip=Takeover(timeout=0.05, recovery=0.0), **extra)
    planning.set_goal(GOAL)
    plan_on(planning, latent(clock()))
    planning.take_chip_plan(chip_plan(clock))
    assert planning._plans.take(time.monotonic()).by_chip
    planning._planner.warm_starts.clear()
    return planning


def test_while_the_chip_plans_the_host_does_not(clock):
    planning = chip_led(clock)
    assert plan_on(planning, latent(clock())) is None
    assert planning._planner.warm_starts == []


def test_the_host_takes_over_at_the_next_observation_and_goes_on_with_the_chips_plan(clock):
    planning = chip_led(clock)
    planning._chip._timeout = 0.0  # the chip has been silent for longer than this
    plan = plan_on(planning, latent(clock()))
    assert not plan.by_chip
    np.testing.assert_allclose(planning._planner.warm_starts[0][: len(RAMP)], RAMP, atol=0.02)


def test_where_it_may_not_take_over_a_stop_is_asked_for(clock):
    planning = chip_led(clock, stand_in=False)
    planning._chip._timeout = 0.0
    assert "microcontroller does not plan" in plan_on(planning, latent(clock())).reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"goal": Goal(np.ones(16, np.float32), "touch blue")},
        {"age_ms": 101},
        {"age_ms": -30},
        {"actions": np.full((12, 2), np.nan, np.float32)},
    ],
)
def test_a_chips_plan_that_must_not_be_followed_is_not(clock, wrong):
    planning = chip_led(clock)
    planning.take_chip_plan(chip_plan(clock, **wrong))
    assert planning._plans.take(time.monotonic()) is None


def test_a_missing_goal_stops_the_arm_whoever_plans(clock):
    planning = chip_led(clock)
    planning.set_goal(Goal(None, "sing a song"))
    planning._plans.take(time.monotonic())
    planning.take_chip_plan(chip_plan(clock))
    assert planning._plans.take(time.monotonic()) is None
    assert "sing a song" in plan_on(planning, latent(clock())).reason
