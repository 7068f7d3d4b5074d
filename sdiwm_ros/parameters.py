"""The nodes' parameters: type, range, unit and description of each. Defaults: config/control.yaml.

A parameter is read when its node is configured and can be set while the node is unconfigured:
a control loop whose deadlines or model change under it could not state what it did. Those marked
`live` may be set at any time and act at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.protocols import HOST_BACKENDS, WAM_BACKENDS
from sdiwm_model.wam.protocols import MODES
from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.privileges import CPU_LIST
from sdiwm_ros.safety import MAX_COMMAND_TIMEOUT


@dataclass(frozen=True)
class Text:
    """Any string, or one that matches the regular expression `pattern`, in words `form`."""

    description: str
    pattern: str = r"(?s).*"
    form: str = "text"
    live: bool = False

    @property
    def allowed(self) -> str:
        return self.form

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


def choice(description: str, *choices: str) -> Text:
    """One of `choices`."""
    return Text(description, "|".join(map(re.escape, choices)), f"one of {', '.join(choices)}")


@dataclass(frozen=True)
class Switch:
    """True or false."""

    description: str
    live: bool = False
    allowed = "true or false"

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Number:
    """A decimal (default) or whole number of `unit` between `low` and `high`, both allowed."""

    description: str
    low: float
    high: float
    unit: str = ""
    whole: bool = False
    live: bool = False

    @property
    def allowed(self) -> str:
        kind = "whole" if self.whole else "decimal"
        return f"a {kind} number, {self.low} to {self.high} {self.unit}".rstrip()

    def accepts(self, value: object) -> bool:
        kind = int if self.whole else float
        return type(value) is kind and self.low <= value <= self.high


Specification = Text | Switch | Number

SEED_LIMIT = 2**31 - 1
MODEL: dict[str, Specification] = {
    "task": Text("Task whose shipped model is loaded where `model` is empty."),
    "model": Text("Bundle folder (model.json and its files); empty: the one shipped."),
    "backend": choice("What executes the model.", *HOST_BACKENDS, *WAM_BACKENDS),
}
ROBOT: dict[str, Specification] = {
    "robot": Text("Robot of config/robots, or path of such a file; empty: the task's own."),
}
COMMON: dict[str, Specification] = {
    "autostart": Switch("Configure and activate at start-up; false: wait for a manager."),
    "realtime_priority": Number(
        "SCHED_FIFO priority where permitted; 0: normal scheduling.", 0, 99, whole=True
    ),
    "lock_memory": Switch("Never swap this process out, where permitted."),
    "cpus": Text(
        "Processors to run on, where permitted; empty: any.",
        CPU_LIST,
        "a list of processors such as 0,2-3, or empty",
    ),
}
"""Parameters that every node has."""

PARAMETERS: dict[str, dict[str, Specification]] = {
    "simulator": {
        "task": Text("Simulated task."),
        "seed": Number("Episode k is laid out from (seed, k).", 0, SEED_LIMIT, whole=True),
        "episodes": Number("Episodes to run; 0: until interrupted.", 0, 10**6, whole=True),
        "instruction": Text("Said at the start of every episode; empty: drawn by the task."),
        "command_topic": Text("Joint velocity commands, rad/s."),
        "command_timeout": Number(
            "Age of a command until the joints are held.", 0.01, MAX_COMMAND_TIMEOUT, "s", live=True
        ),
        "physics_rate": Number(
            "Physics ticks and joint states; 0: as in the task's data.", 0.0, 1000.0, "Hz"
        ),
        "image_size": Number("Camera height and width.", 16, 512, "pixels", whole=True),
        "headless": Switch("True: no window; false: MuJoCo's viewer."),
        "publish_clock": Switch("Stamp with simulated time and publish it on /clock."),
        "wait_for_planner": Switch("Hold the first episode until a planned command arrives."),
        "record_to": Text("Folder for simulator.npz, written at the end; empty: none."),
        "record_minutes": Number(
            "Room in the record, whose memory is taken at the start.", 0.1, 1440.0, "minutes"
        ),
    },
    "observer": {
        **MODEL,
        **ROBOT,
        "image_timeout": Number(
            "Age after which a picture is not trusted.", 0.03, 1.0, "s", live=True
        ),
        "frozen_motion": Number(
            "Motion of a joint after which pictures that stay the same to the bit are as old as "
            "the first of them.",
            0.001,
            100.0,
            "rad or m",
            live=True,
        ),
        "joint_timeout": Number(
            "Age after which a joint state is not trusted.",
            0.01,
            MAX_COMMAND_TIMEOUT,
            "s",
            live=True,
        ),
    },
    "language_goal": {
        **MODEL,
        "interval": Number(
            "Least time between two sentences that are understood; of those in between only the "
            "last is.",
            0.0,
            0.5,
            "s",
            live=True,
        ),
    },
    "planner": {
        **MODEL,
        **ROBOT,
        "plan_source": choice(
            "Who plans: this host, or the chip of node mcu_bridge.", "host", "mcu"
        ),
        "mcu_timeout": Number("Silence of the chip after which it does not plan.", 0.01, 1.0, "s"),
        "mcu_recovery": Number(
            "How long the chip must have been well before it plans again.", 0.0, 60.0, "s"
        ),
        "on_mcu_loss": choice("Who plans while the chip does not; safe: nobody.", "host", "safe"),
        "latency_compensation": Switch(
            "Plan from where the arm will be when the command acts; false: from where it was seen."
        ),
        "seed": Number("Seed of the planner's random numbers.", 0, SEED_LIMIT, whole=True),
        "candidates": Number("Sequences a plan tries; 0: the bundle's.", 0, 8192, whole=True),
        "horizon": Number("Length of a plan; 0: the bundle's.", 0, 100, "model steps", whole=True),
        "wam_steps": Text(
            "Denoising steps of a world-action model, video x action; empty: its checkpoint's.",
            r"(\d+x\d+)?",
            "two whole numbers such as 1x2, or empty",
        ),
        "wam_mode": Text(
            "Mode of a world-action model; empty: its checkpoint's.",
            "|".join(("", *MODES)),
            f"one of {', '.join(MODES)}, or empty",
        ),
        "wam_every": Number(
            "From the start of one chunk to that of the next.", 1, 100, "model steps", whole=True
        ),
        "wam_proposals": Number("Chunks among wam+mppi's candidates.", 1, 256, whole=True),
        "wam_asynchronous": Switch(
            "Make chunks in a thread, so that nobody waits; false: in lockstep, for replays."
        ),
        "inference_delay": Number("By how much every chunk is made to come later.", 0.0, 1.0, "s"),
        "period": Number("Time between commands.", 0.001, 0.1, "s"),
        "grace": Number("How late a plan may be before a fallback.", 0.0, 0.1, "s"),
        "observation_timeout": Number(
            "Age after which an observation is not acted on.", 0.01, MAX_COMMAND_TIMEOUT, "s"
        ),
        "imagined_path_rate": Number(
            "Rate of the imagined fingertip path; 0: never.", 0.0, 10.0, "Hz"
        ),
        "frame": Text("Coordinate frame of that path, as markers state it."),
        "record_to": Text("Folder for planner.json, written at the end; empty: none."),
    },
    "guard": {
        "task": Text("Task whose robot is guarded where `robot` is empty."),
        **ROBOT,
        "observation_timeout": Number(
            "Age of the observation behind a command after which that is refused.",
            0.01,
            MAX_COMMAND_TIMEOUT,
            "s",
        ),
        "safe_after": Number(
            "Time from slowing down until the robot's safe action.", 0.0, 10.0, "s"
        ),
        "dry_run": Switch("Send nothing to the controller; what would be sent: ~/would_send."),
    },
    "mcu_bridge": {
        **MODEL,
        "backend": choice("What executes the host's dynamics.", *HOST_BACKENDS),
        **ROBOT,
        "port": Text("Serial port; sil: the firmware here; empty or pil:BOARD: an emulated chip."),
        "seed": Number("Seed of the planner's random numbers.", 0, SEED_LIMIT, whole=True),
        "candidates": Number("Sequences a plan tries; 0: what fits.", 0, 8192, whole=True),
        "horizon": Number("Length of a plan; 0: what fits.", 0, 100, "model steps", whole=True),
        "link_timeout": Number(
            "How long one answer may take; of an emulated chip 2 s at least.", 0.005, 60.0, "s"
        ),
        "observation_timeout": Number(
            "Age after which an observation is not planned on.", 0.01, MAX_COMMAND_TIMEOUT, "s"
        ),
        "latency_compensation": Switch("As of the planner."),
    },
    "recorder": {
        "record_to": Text("Folder for bags; each activation makes bag-000, bag-001, … there."),
        "topics": Text("Topics recorded, with spaces between; empty: the namespace's."),
        "keep_free": Number(
            "Free space on the disk below which the recorder ends.", 0, 10**6, "MB", live=True
        ),
    },
}


def specifications_of(kind: str) -> dict[str, Specification]:
    """Every parameter of a kind of node, by name."""
    return COMMON | PARAMETERS[kind]


def misspelt(node: Node, kind: str) -> list[str]:
    """Parameters that were given to the node but that it does not have: rcl ignores them."""
    known = specifications_of(kind)
    return [
        f"parameter '{name}' is not known and ignored: did you mean '{near[0]}'?"
        for name in node._parameter_overrides
        if name not in known and (near := get_close_matches(name, known, n=1))
    ]


def declare(node: Node, kind: str) -> dict[str, Any]:
    """Declare the parameters of a node and read them; the values follow every later change.

    Raises:
        SdiwmError: a value of the wrong type or out of range, naming the parameter.
    """
    defaults = read_defaults(kind)
    specifications = specifications_of(kind)
    values = {key: _declare_one(node, key, defaults[key], s) for key, s in specifications.items()}

    def follow(parameters: Sequence[Parameter[Any]]) -> None:
        values.update({p.name: p.value for p in parameters if p.name in specifications})

    node.add_post_set_parameters_callback(follow)
    return values


def refusal(
    specifications: Mapping[str, Specification],
    parameters: Sequence[Parameter[Any]],
    configured: bool,
) -> str:
    """Why these values cannot be set, in one sentence; empty where they can.

    Parameters that are not the node's own (`use_sim_time`) are left to rclpy.
    """
    for parameter in parameters:
        specification = specifications.get(parameter.name)
        if specification is None:
            continue
        if not specification.accepts(parameter.value):
            return f"'{parameter.name}' must be {specification.allowed}, not {parameter.value!r}."
        if configured and not specification.live:
            return (
                f"'{parameter.name}' is read when the node is configured: deactivate and clean up "
                "the node first, or give it at start-up."
            )
    return ""


def _declare_one(node: Node, key: str, default: Any, specification: Specification) -> Any:
    whole = not isinstance(specification, Number) or specification.whole
    try:
        value = node.declare_parameter(
            key, default if whole else float(default), describe(specification)
        ).value
    except (InvalidParameterValueException, InvalidParameterTypeException) as error:
        raise SdiwmError(
            f"{node.get_name()}: parameter '{key}' must be {specification.allowed} ({error})."
        ) from None
    if not specification.accepts(value):
        raise SdiwmError(
            f"{node.get_name()}: parameter '{key}' must be {specification.allowed}, not {value!r}."
        )
    return value


def describe(specification: Specification) -> ParameterDescriptor:
    """What `ros2 param describe` shows."""
    when = "at any time" if specification.live else "while the node is unconfigured"
    descriptor = ParameterDescriptor(
        description=specification.description,
        additional_constraints=f"{specification.allowed}; can be set {when}",
    )
    if isinstance(specification, Number):
        low, high = specification.low, specification.high
        if specification.whole:
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)
            ]
        else:  # a step of zero is "any" in rcl_interfaces
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    return descriptor
