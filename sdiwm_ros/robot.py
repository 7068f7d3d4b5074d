"""What an arm is: joints and their limits, topics, safe action. One YAML file each. ROS-free.

A new arm needs such a file and a model, no Python; config/robots/reach_arm.yaml explains every
field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file
from sdiwm_ros.safety import MAX_COMMAND_TIMEOUT
from sdiwm_ros.signals import Array

Vector = NDArray[np.float64]

ROBOT_OF_TASK = {"reach": "reach_arm", "push": "push_finger"}
"""The robot of each simulated task whose model the ROS graph carries."""


@dataclass(frozen=True)
class Joint:
    """Limits in rad, rad/s, rad/s² (m for linear joints); lower and upper None: endless."""

    name: str
    lower: float | None
    upper: float | None
    velocity: float
    acceleration: float


@dataclass(frozen=True)
class Timeouts:
    """Seconds without a command, and without joint states, until the arm is slowed to rest."""

    command: float
    joint_states: float


@dataclass(frozen=True)
class RobotDescription:
    """One robot; joints in the order of the model's actions. Topics are relative names.

    actuation_latency: seconds from sending a command until it moves the joints.
    """

    name: str
    joints: tuple[Joint, ...]
    camera_topic: str
    joint_states_topic: str
    command_topic: str
    command_interface: str
    safe_action: tuple[float, ...]
    actuation_latency: float
    timeouts: Timeouts

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    @property
    def lower(self) -> Vector:
        """Lower position limits (J,), -inf where a joint has none."""
        return _vector(-math.inf if joint.lower is None else joint.lower for joint in self.joints)

    @property
    def upper(self) -> Vector:
        """Upper position limits (J,), inf where a joint has none."""
        return _vector(math.inf if joint.upper is None else joint.upper for joint in self.joints)

    @property
    def velocity(self) -> Vector:
        """Velocity limits (J,)."""
        return _vector(joint.velocity for joint in self.joints)

    @property
    def acceleration(self) -> Vector:
        """Acceleration limits (J,)."""
        return _vector(joint.acceleration for joint in self.joints)

    @property
    def safe_velocity(self) -> Vector:
        """The safe action (J,)."""
        return np.array(self.safe_action, dtype=np.float64)

    def check_model(self, task: str, actions: int) -> None:
        """Refuse a model that commands another number of joints.

        Raises:
            SdiwmError: it does.
        """
        if actions != len(self.joints):
            raise SdiwmError(
                f"the model of task '{task}' commands {actions} joints, the robot '{self.name}' "
                f"has {len(self.joints)}: give the parameter `robot` that fits, or another model."
            )


class JointReader:
    """Picks a robot's joints by name out of joint states that may hold others, in any order."""

    def __init__(self, robot: RobotDescription) -> None:
        self._wanted = robot.joint_names
        self._names: tuple[str, ...] | None = None
        self._indices = np.zeros(0, dtype=np.intp)

    def read(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> Array:
        """-> proprio (2J,) = [positions, velocities] in the robot's order.

        Raises:
            SdiwmError: a joint is missing, or names, positions and velocities differ in number.
        """
        if not len(names) == len(positions) == len(velocities):
            raise SdiwmError(
                f"joint state: {len(names)} names, {len(positions)} positions but "
                f"{len(velocities)} velocities; publish all three for every joint."
            )
        if tuple(names) != self._names:
            self._indices = self._find(list(names))
            self._names = tuple(names)
        values = np.array([positions, velocities], dtype=np.float32)
        return values[:, self._indices].ravel()

    def _find(self, names: list[str]) -> NDArray[np.intp]:
        missing = [name for name in self._wanted if name not in names]
        if missing:
            raise SdiwmError(
                f"joint state: no joint '{missing[0]}' among {', '.join(names) or 'none'}; name "
                "the joints in the robot's description as they are published."
            )
        return np.array([names.index(name) for name in self._wanted], dtype=np.intp)


def robot_of(robot: str, task: str) -> RobotDescription:
    """The robot that the parameter `robot` names; where that is empty, the task's own.

    Raises:
        SdiwmError: the task has none; missing or damaged description.
    """
    if not robot and task not in ROBOT_OF_TASK:
        raise SdiwmError(
            f"no robot is known for the task '{task}' (there is: {', '.join(ROBOT_OF_TASK)}); name "
            "one, or the path of its YAML file, with the parameter `robot`."
        )
    return load_robot(robot or ROBOT_OF_TASK[task])


def load_robot(name_or_path: str) -> RobotDescription:
    """The robot of config/robots/<name>.yaml, or of the YAML file at a path.

    Raises:
        SdiwmError: no such robot; a field that is missing, unknown or wrong, naming it.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = share_file("config/robots/reach_arm.yaml").with_stem(name_or_path)
    if not path.is_file():
        shipped = ", ".join(sorted(found.stem for found in path.parent.glob("*.yaml"))) or "none"
        raise SdiwmError(
            f"no robot '{name_or_path}' (in {path.parent}: {shipped}); give one of these names or "
            "the path of a YAML file."
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SdiwmError(f"{path}: not readable as YAML ({error}); correct it.") from None
    return _Parser(path).robot(content)


class _Parser:
    """Builds a description, or says in one sentence what is wrong with which field."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def robot(self, content: Any) -> RobotDescription:
        values = self._exactly("the file", content, RobotDescription)
        entries = values["joints"]
        if not isinstance(entries, list) or not entries:
            self._refuse("joints", "must be a list of at least one joint")
        joints = tuple(self._joint(f"joints[{i}]", entry) for i, entry in enumerate(entries))
        if len({joint.name for joint in joints}) < len(joints):
            self._refuse("joints", "name each joint once")
        if values["command_interface"] != "velocity":
            self._refuse("command_interface", "must be velocity: nothing else is sent")
        texts = ("name", "camera_topic", "joint_states_topic", "command_topic")
        timeouts = self._exactly("timeouts", values["timeouts"], Timeouts)
        return RobotDescription(
            joints=joints,
            command_interface="velocity",
            safe_action=self._safe_action(values["safe_action"], joints),
            actuation_latency=self._latency(values["actuation_latency"]),
            timeouts=Timeouts(**{key: self._timeout(key, timeouts[key]) for key in timeouts}),
            **{key: self._text(key, values[key]) for key in texts},
        )

    def _joint(self, place: str, entry: Any) -> Joint:
        values = self._exactly(place, entry, Joint)
        low, high = (
            None if values[key] is None else self._number(f"{place}.{key}", values[key])
            for key in ("lower", "upper")
        )
        if low is not None and high is not None and low >= high:
            self._refuse(f"{place}.lower", f"{low} must be below upper, {high}")
        return Joint(
            self._text(f"{place}.name", values["name"]),
            low,
            high,
            self._positive(f"{place}.velocity", values["velocity"]),
            self._positive(f"{place}.acceleration", values["acceleration"]),
        )

    def _safe_action(self, value: Any, joints: tuple[Joint, ...]) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != len(joints):
            self._refuse("safe_action", f"must list one velocity for each of {len(joints)} joints")
        speeds = tuple(self._number("safe_action", speed) for speed in value)
        for speed, joint in zip(speeds, joints, strict=True):
            if abs(speed) > joint.velocity:
                self._refuse("safe_action", f"{speed} is beyond the velocity limit of {joint.name}")
        return speeds

    def _latency(self, value: Any) -> float:
        seconds = self._number("actuation_latency", value)
        if abs(seconds) > MAX_COMMAND_TIMEOUT:
            self._refuse("actuation_latency", f"{seconds} s: {MAX_COMMAND_TIMEOUT} s at most")
        return seconds

    def _timeout(self, key: str, value: Any) -> float:
        seconds = self._positive(f"timeouts.{key}", value)
        if seconds > MAX_COMMAND_TIMEOUT:
            self._refuse(f"timeouts.{key}", f"{seconds} s: {MAX_COMMAND_TIMEOUT} s at most")
        return seconds

    def _exactly(self, place: str, content: Any, kind: type) -> dict[str, Any]:
        names = [field.name for field in fields(kind)]
        if not isinstance(content, dict):
            self._refuse(place, f"must have the fields {', '.join(names)}")
        for name in names:
            if name not in content:
                self._refuse(place, f"has no field '{name}'")
        for name in content:
            if name not in names:
                self._refuse(place, f"has an unknown field '{name}' (known: {', '.join(names)})")
        return dict(content)

    def _text(self, place: str, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            self._refuse(place, "must be a text")
        return str(value)

    def _number(self, place: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            self._refuse(place, f"must be a number, not {value!r}")
        return float(value)

    def _positive(self, place: str, value: Any) -> float:
        number = self._number(place, value)
        if number <= 0:
            self._refuse(place, f"must be above 0, not {number}")
        return number

    def _refuse(self, place: str, what: str) -> None:
        raise SdiwmError(f"{self._path}: {place} {what}; correct the file.")


def _vector(values: Any) -> Vector:
    return np.array(list(values), dtype=np.float64)
