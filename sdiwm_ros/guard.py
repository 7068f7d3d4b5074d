"""Decides what reaches the controller: the logic of the node `guard`, without ROS.

Commands are checked and held within the robot's limits. Whatever is wrong with them, or where
there are none, is answered in this order: slow down within the acceleration limits and rest
(`hold`), then the robot's safe action (`safe`), repeated until good commands return. An emergency
stop does the same and lasts until it is reset.

Times `now` are seconds of time.monotonic; stamps are compared with `clock`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from sdiwm_ros.clock import FUTURE, ClockWatch
from sdiwm_ros.motion import MotionLimiter, Vector
from sdiwm_ros.robot import RobotDescription
from sdiwm_ros.signals import Command, CommandKind

REPEAT = 0.05  # s between commands at rest: well within every command timeout
RAMP = 0.005  # s between commands while slowing down
RECHECK = 0.01  # s after which a command that still acts is checked against the position again


@dataclass(frozen=True)
class GuardTiming:
    """Seconds: oldest observation that a command may stem from; rest before the safe action."""

    observation_timeout: float
    safe_after: float


class Mode(Enum):
    """What the guard does: lets commands through, slows down and rests, or sends what is safe."""

    FORWARD = "forwarding"
    HOLD = "holding"
    SAFE = "safe"


class EmergencyStop:
    """A latch: what sets it off, by a button or by word, acts until `reset`, whatever happens."""

    def __init__(self) -> None:
        self.reason = ""
        self._pressed = False

    def press(self, pressed: bool) -> None:
        """A button, down or up again."""
        self._pressed = pressed
        if pressed:
            self.trigger("the emergency stop is pressed")

    def trigger(self, reason: str) -> None:
        """Stop, because of `reason`; the first one is kept."""
        self.reason = self.reason or reason

    def reset(self) -> str:
        """Let the robot move again; why that is refused, or ""."""
        if self._pressed:
            return "the emergency stop is still pressed: release it first"
        self.reason = ""
        return ""


class Guard:
    """See the module's docstring. Begins in SAFE; `send` gets every command that goes out.

    After `emergency` has been set off, call `tick`: it acts at once.
    """

    def __init__(
        self,
        robot: RobotDescription,
        timing: GuardTiming,
        send: Callable[[Command], None],
        clock: Callable[[], int],
        watch: ClockWatch,
        emergency: EmergencyStop,
    ) -> None:
        self._robot, self._timing, self._send, self._clock = robot, timing, send, clock
        self._watch, self._emergency = watch, emergency
        self._limiter = MotionLimiter(robot)
        self._rest = np.zeros(len(robot.joints))
        self._mode, self._since = Mode.SAFE, -math.inf
        self._position, self._position_at = self._rest, -math.inf
        self._heard = self._followed = self._sent_at = -math.inf
        self._accepted: Command | None = None
        self._problem = "no command yet: is the planner running?"
        self.refused = self.limited = self.stops = 0
        self.counts = dict.fromkeys(CommandKind, 0)

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def problem(self) -> str:
        """Why the robot is being stopped; empty while commands pass."""
        return self._emergency.reason or self._problem

    @property
    def moving(self) -> bool:
        """Whether the last command that went out was a movement."""
        return bool(self._limiter.velocity.any())

    @property
    def clock_jumps(self) -> int:
        return self._watch.jumps

    def on_joints(self, position: Vector, at: float) -> None:
        """position (J,) of the robot's joints, finite, and when it was received."""
        self._position, self._position_at = position, at

    def on_command(self, command: Command, now: float) -> None:
        """Check a command; send it, within the limits, or slow down."""
        self._heard = now
        if self._emergency.reason:
            return
        self._look_at_clock(now)
        if command.kind in (CommandKind.SAFE, CommandKind.HOLD):
            self._stop(self._joints_lost(now) or "the planner asks for a stop", now)
            return
        objection = self._objection(command, now)
        if objection:
            self.refuse(objection, now)
            return
        self._mode, self._problem = Mode.FORWARD, ""
        self._followed, self._accepted = now, command
        velocity = self._limit(command.velocity, now)
        if (velocity != command.velocity).any():
            self.limited += 1
            command = replace(command, velocity=velocity)
        self._emit(command, now)

    def refuse(self, reason: str, now: float) -> None:
        """Something that is no command of this robot arrived: slow down."""
        self._heard = now
        self.refused += 1
        self._stop(reason, now)

    def due(self, now: float) -> float:
        """Seconds until `tick` has something to do."""
        if self._mode is Mode.FORWARD:
            lost = min(
                self._followed + self._robot.timeouts.command,
                self._position_at + self._robot.timeouts.joint_states,
            )
            return min(lost, self._sent_at + RECHECK) - now
        next_at = self._sent_at + (REPEAT if self._settled else RAMP)
        if self._mode is Mode.HOLD and not self.moving:
            next_at = min(next_at, self._since + self._timing.safe_after)
        return next_at - now

    def tick(self, now: float) -> None:
        """Do what is due: notice silence, check a command that still acts, repeat a stop."""
        emergency = self._emergency.reason
        if self._mode is Mode.FORWARD and emergency:
            self._stop(emergency, now)
        if self.due(now) > 0:
            return
        self._look_at_clock(now)
        if self._mode is Mode.FORWARD:
            silence = self._silence(now)
            if silence:
                self._stop(silence, now)
            elif now - self._sent_at >= RECHECK:
                self._recheck(now)
        else:
            if now - self._heard > self._robot.timeouts.command and not math.isinf(self._heard):
                self._problem = self._no_command  # whatever the stop began with
            self._repeat(now)

    def farewell(self, now: float) -> bool:
        """One step of ending: slow down further; at rest the safe action, and then True."""
        if self.moving:
            self._stop("the guard is being deactivated", now)
            self._repeat(now)
            return False
        self._emit(Command(self._robot.safe_velocity, 0, CommandKind.SAFE, 0), now)
        return True

    def _objection(self, command: Command, now: float) -> str:
        """Why a command must not act, or ""."""
        joints = len(self._robot.joints)
        if command.velocity.shape != (joints,):
            return f"a command for {command.velocity.size} joints, the robot has {joints}"
        if not np.isfinite(command.velocity).all():
            return "a command that is not finite"
        if not command.stamp_ns:
            return "a command that does not say which observation it stems from"
        age = (self._clock() - command.stamp_ns) * 1e-9
        if age > self._timing.observation_timeout:
            return f"a command from an observation {1000 * age:.0f} ms old"
        if age < -FUTURE:
            return f"a command from {-1000 * age:.0f} ms in the future"
        return self._joints_lost(now)

    def _silence(self, now: float) -> str:
        if now - self._followed > self._robot.timeouts.command:
            return self._no_command
        return self._joints_lost(now)

    def _joints_lost(self, now: float) -> str:
        if now - self._position_at <= self._robot.timeouts.joint_states:
            return ""
        if math.isinf(self._position_at):
            return "no joint states yet: is the robot publishing them?"
        return f"no joint states for {1000 * self._robot.timeouts.joint_states:.0f} ms"

    def _look_at_clock(self, now: float) -> None:
        jump = self._watch.look()
        if jump:
            self._stop(f"the clock jumped by {jump:+.3f} s", now)

    def _stop(self, reason: str, now: float) -> None:
        self._problem = reason
        if self._mode is Mode.FORWARD:
            self._mode, self._since = Mode.HOLD, now
            self._accepted = None
            self.stops += 1
            self._repeat(now)

    def _repeat(self, now: float) -> None:
        """The next command of a stop."""
        rested = not self.moving and now - self._since >= self._timing.safe_after
        if self._mode is Mode.HOLD and rested:
            self._mode = Mode.SAFE
        if self._mode is Mode.SAFE:
            velocity, kind = self._limit(self._robot.safe_velocity, now), CommandKind.SAFE
        else:
            velocity, kind = self._limit(self._rest, now), CommandKind.HOLD
        self._emit(Command(velocity, 0, kind, 0), now)

    def _recheck(self, now: float) -> None:
        """Slow down before a position limit though no newer command has come."""
        accepted = self._accepted
        assert accepted is not None
        before = self._limiter.velocity
        velocity = self._limit(accepted.velocity, now)
        if np.array_equal(velocity, before):
            self._sent_at = now
            return
        kind = CommandKind.FALLBACK  # it still acts: this is no stop
        self._emit(Command(velocity, accepted.stamp_ns, kind, accepted.goal), now)

    def _limit(self, wanted: Vector, now: float) -> Vector:
        elapsed = now - self._sent_at
        if self._joints_lost(now):
            return self._limiter.slow_down(wanted, elapsed)
        moved = self._limiter.velocity * (now - self._position_at)
        return self._limiter.limit(wanted, self._position + moved, elapsed)

    @property
    def _no_command(self) -> str:
        return f"no command for {1000 * self._robot.timeouts.command:.0f} ms"

    @property
    def _settled(self) -> bool:
        target = self._robot.safe_velocity if self._mode is Mode.SAFE else self._rest
        return np.array_equal(self._limiter.velocity, target)

    def _emit(self, command: Command, now: float) -> None:
        self._sent_at = now
        self.counts[command.kind] += 1
        self._send(command)
