import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_ros.clock import ClockWatch
from sdiwm_ros.guard import EmergencyStop, Guard, GuardTiming, Mode
from sdiwm_ros.robot import Joint, RobotDescription, Timeouts
from sdiwm_ros.signals import Command, CommandKind

MS = 1_000_000
EXACT = 1e-9
TIMING = GuardTiming(observation_timeout=0.1, safe_after=0.05)


def make_robot(joints, safe_action):
    topics = ("camera", "joint_states", "commands")
    timeouts = Timeouts(0.1, 0.1)
    return RobotDescription("test", joints, *topics, "velocity", safe_action, 0.0, timeouts)


A = Joint("a", -1.0, 1.0, 1.5, 60.0)
ROBOT = make_robot((A, Joint("b", None, None, 1.0, 60.0)), (0.0, 0.0))
FAST = [1.4, -0.8]


class Bench:
    """A guard, a robot that follows it exactly, and a clock."""

    def __init__(self, robot=ROBOT, timing=TIMING):
        self.robot, self.now, self.wall = robot, 100.0, 10**18
        self.sent = []  # (time, command)
        self.position = np.zeros(len(robot.joints))
        watch = ClockWatch(lambda: self.wall, monotonic=lambda: int(self.now * 1e9))
        self.emergency = EmergencyStop()
        self.guard = Guard(robot, timing, self._send, lambda: self.wall, watch, self.emergency)
        self.sensing = True
        self.pass_time(0.0)

    def _send(self, command):
        self.sent.append((self.now, command))

    @property
    def velocity(self):
        return self.sent[-1][1].velocity if self.sent else np.zeros(len(self.robot.joints))

    @property
    def kind(self):
        return self.sent[-1][1].kind

    def pass_time(self, seconds):
        """The robot moves, the joints are heard every 5 ms, and the guard does what is due."""
        end = self.now + seconds
        while True:
            step = min(0.005, end - self.now, max(1e-6, self.guard.due(self.now)))
            self.position = self.position + self.velocity * step
            self.now, self.wall = self.now + step, self.wall + round(step * 1e9)
            if self.sensing:
                self.guard.on_joints(self.position.copy(), self.now)
            self.guard.tick(self.now)
            if self.now >= end - 1e-7:
                return

    def command(self, velocity=FAST, kind=CommandKind.PLAN, age_ms=2.0):
        stamp = self.wall - int(age_ms * MS)
        self.guard.on_command(Command(np.array(velocity), stamp, kind, 1), self.now)

    def drive(self, seconds=0.1, velocity=FAST):
        for _ in range(round(seconds / 0.005)):
            self.command(velocity)
            self.pass_time(0.005)

    def since(self, moment):
        return [(at - moment, command) for at, command in self.sent if at >= moment]


@pytest.fixture
def bench():
    return Bench()


def test_a_good_command_passes_with_its_label_once_the_robot_is_up_to_speed(bench):
    bench.drive()
    sent = bench.sent[-1][1]
    assert sent.velocity.tolist() == FAST
    assert (sent.kind, sent.goal) == (CommandKind.PLAN, 1)
    assert bench.wall - sent.stamp_ns == pytest.approx(7 * MS, abs=MS)


def test_before_the_first_command_the_safe_action_is_repeated(bench):
    bench.pass_time(1.0)
    assert {command.kind for _, command in bench.sent} == {CommandKind.SAFE}
    assert max(np.diff([at for at, _ in bench.sent])) <= 0.0501
    assert "is the planner running" in bench.guard.problem


def silence(bench):
    bench.pass_time(0.1)


def nothing_of_the_joints(bench):
    bench.sensing = False
    bench.drive(0.1)


FAULTS = {
    "no command for 100 ms": silence,
    "no joint states for 100 ms": nothing_of_the_joints,
    "asks for a stop": lambda bench: bench.command([0.0, 0.0], CommandKind.SAFE),
    "a stop": lambda bench: bench.command([0.0, 0.0], CommandKind.HOLD),
    "not finite": lambda bench: bench.command([np.nan, 0.0]),
    "for 3 joints": lambda bench: bench.command([0.1, 0.2, 0.3]),
    "101 ms old": lambda bench: bench.command(age_ms=101),
    "in the future": lambda bench: bench.command(age_ms=-30),
    "which observation": lambda bench: bench.guard.on_command(
        Command(np.zeros(2), 0, CommandKind.PLAN, 1), bench.now
    ),
    "unreadable": lambda bench: bench.guard.refuse("unreadable", bench.now),
    "emergency": lambda bench: bench.emergency.press(True),
}


@pytest.mark.parametrize("words", FAULTS)
def test_every_fault_is_answered_by_slowing_down_resting_and_the_safe_action(bench, words):
    bench.drive()
    FAULTS[words](bench)
    moment, speed = bench.now, bench.velocity
    bench.pass_time(0.01)
    assert words in bench.guard.problem
    bench.pass_time(0.09)
    answers = bench.since(moment)
    assert answers[0][1].kind is CommandKind.HOLD
    assert answers[0][0] <= 0.006
    for _, command in answers:
        assert (np.abs(command.velocity) <= np.abs(speed) + EXACT).all()
    rest = next(after for after, command in answers if not command.velocity.any())
    assert rest <= 0.05
    safe = next(after for after, command in answers if command.kind is CommandKind.SAFE)
    assert 0.04 <= safe <= 0.08


@pytest.mark.parametrize("words", [words for words in FAULTS if words != "emergency"])
def test_it_recovers_by_itself_when_good_commands_return(bench, words):
    bench.drive()
    FAULTS[words](bench)
    bench.pass_time(0.2)
    bench.sensing = True
    bench.pass_time(0.01)
    bench.drive(velocity=[-0.5, 0.5])
    assert bench.velocity.tolist() == [-0.5, 0.5]
    assert bench.guard.problem == ""
    assert bench.guard.stops == 1


def test_a_planner_that_falls_silent_while_the_robot_is_stopped_is_told_too(bench):
    bench.drive()
    for _ in range(10):
        bench.command([0.0, 0.0], CommandKind.SAFE)
        bench.pass_time(0.05)
    assert "asks for a stop" in bench.guard.problem
    bench.pass_time(0.2)
    assert "no command for 100 ms" in bench.guard.problem


def test_no_stale_command_acts_after_the_safe_one(bench):
    bench.drive()
    bench.pass_time(0.3)
    moment = bench.now
    for age in (300, 250, 150, 101):  # what a planner had in its queue when it was stopped
        bench.command(age_ms=age)
        bench.pass_time(0.005)
    assert not any(command.velocity.any() for _, command in bench.since(moment))


def test_an_emergency_stop_lets_nothing_through_until_it_is_reset(bench):
    bench.drive()
    bench.emergency.trigger("asked for by service")
    bench.drive(0.5)
    assert bench.kind is CommandKind.SAFE
    assert not bench.velocity.any()
    assert bench.emergency.reset() == ""
    bench.drive(0.1)
    assert bench.velocity.tolist() == FAST


def test_a_reset_is_refused_while_the_button_is_pressed(bench):
    bench.emergency.press(True)
    assert "release" in bench.emergency.reset()
    bench.emergency.press(False)
    bench.drive(0.1)
    assert not bench.velocity.any()  # released is not yet reset
    assert bench.emergency.reset() == ""


@pytest.mark.parametrize("seconds", [-3600, -0.05, 0.05, 3600])
def test_a_jump_of_the_clock_is_counted_stops_the_arm_and_is_survived(bench, seconds):
    bench.drive()
    bench.wall += int(seconds * 1e9)
    moment = bench.now
    bench.pass_time(0.02)
    assert bench.guard.clock_jumps == 1
    assert "clock jumped" in bench.guard.problem
    assert {command.kind for _, command in bench.since(moment)} == {CommandKind.HOLD}
    bench.drive()
    assert bench.velocity.tolist() == FAST


def test_a_command_that_still_acts_does_not_carry_a_joint_into_its_limit(bench):
    bench.position = np.array([0.9, 0.0])
    bench.drive(0.02, [1.5, 0.0])
    bench.pass_time(0.1)  # the planner falls silent; its last command would run 0.15 rad further
    assert bench.position[0] <= 1.0


def test_a_safe_action_that_moves_is_reached_and_kept_within_the_limits():
    bench = Bench(make_robot((A,), (-0.2,)))
    bench.drive(0.1, [0.5])
    bench.pass_time(0.3)
    assert bench.velocity.tolist() == [-0.2]
    bench.pass_time(10.0)
    assert -1.0 <= bench.position[0] < -0.98


def test_ending_slows_down_first_and_then_sends_the_safe_action(bench):
    bench.drive()
    bench.sent.clear()
    while not bench.guard.farewell(bench.now):
        bench.now += 0.005
    kinds = [command.kind for _, command in bench.sent]
    assert kinds == [CommandKind.HOLD] * (len(kinds) - 1) + [CommandKind.SAFE]
    speeds = [abs(command.velocity[0]) for _, command in bench.sent]
    assert speeds == sorted(speeds, reverse=True)
    assert len(speeds) > 3


EVENTS = st.tuples(
    st.sampled_from([*CommandKind]),
    st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=3),
    st.floats(-200, 300),
    st.floats(0, 0.15),
    st.booleans(),
    st.sampled_from([0.0, 0.0, 0.0, -1.0, 0.2]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_whatever_comes_in_whatever_goes_out_is_within_every_limit(events):
    bench = Bench()
    for kind, velocity, age_ms, pause, sensing, jump in events:
        bench.sensing = sensing
        bench.wall += int(jump * 1e9)
        bench.command(velocity, kind, age_ms)
        bench.pass_time(pause)
    last, velocity = -np.inf, np.zeros(2)
    for at, command in bench.sent:
        assert np.isfinite(command.velocity).all()
        assert (np.abs(command.velocity) <= ROBOT.velocity + EXACT).all()
        most = ROBOT.acceleration * min(at - last, 0.01)
        assert (np.abs(command.velocity - velocity) <= most + EXACT).all()
        last, velocity = at, command.velocity
        if command.kind is CommandKind.SAFE:
            assert not command.velocity.any()
    if bench.guard.mode is not Mode.FORWARD:
        assert bench.guard.problem
    assert len(bench.sent) == sum(bench.guard.counts.values())
