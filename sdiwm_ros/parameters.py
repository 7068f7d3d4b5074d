"""The nodes' parameters: type, range and description of each. Defaults are in config/control.yaml.

All are read once at start-up and read-only afterwards: a control loop whose deadlines or model
change under it could not state what it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.safety import MAX_COMMAND_TIMEOUT


@dataclass(frozen=True)
class Text:
    """Any string."""

    description: str


@dataclass(frozen=True)
class Switch:
    """True or false."""

    description: str


@dataclass(frozen=True)
class Number:
    """A float (default) or whole number between `low` and `high`, both allowed."""

    description: str
    low: float
    high: float
    whole: bool = False


Specification = Text | Switch | Number

MODEL: dict[str, Specification] = {
    "task": Text("Task whose shipped model is loaded where `model` is empty."),
    "model": Text("Bundle folder (model.json and its files); empty: the one shipped."),
    "backend": Text("What executes the model: torch, onnx, native or mcu."),
}
PRIORITY = Number("SCHED_FIFO priority where permitted; 0: normal scheduling.", 0, 99, whole=True)
SEED_LIMIT = 2**31 - 1

PARAMETERS: dict[str, dict[str, Specification]] = {
    "simulator": {
        "task": Text("Simulated task."),
        "seed": Number("Episode k is laid out from (seed, k).", 0, SEED_LIMIT, whole=True),
        "episodes": Number("Episodes to run; 0: until interrupted.", 0, 10**6, whole=True),
        "instruction": Text("Said at the start of every episode; empty: drawn by the task."),
        "command_topic": Text("Joint velocity commands, rad/s."),
        "command_timeout": Number(
            "Seconds without a command until the joints are held.", 0.01, MAX_COMMAND_TIMEOUT
        ),
        "image_size": Number("Camera height and width in pixels.", 16, 512, whole=True),
        "headless": Switch("True: no window; false: MuJoCo's viewer."),
        "wait_for_planner": Switch("Hold the first episode until a planned command arrives."),
        "record_to": Text("Folder for simulator.npz, written at the end; empty: none."),
        "realtime_priority": PRIORITY,
    },
    "observer": {
        **MODEL,
        "image_timeout": Number("Seconds after which a picture is not trusted.", 0.03, 1.0),
        "realtime_priority": PRIORITY,
    },
    "language_goal": {
        **MODEL,
        "realtime_priority": PRIORITY,
    },
    "planner": {
        **MODEL,
        "mcu_port": Text("Where the back end mcu plans: a serial port; empty: an emulated chip."),
        "seed": Number("Seed of the planner's random numbers.", 0, SEED_LIMIT, whole=True),
        "candidates": Number("Sequences a plan tries; 0: the bundle's.", 0, 8192, whole=True),
        "horizon": Number("Model steps in a plan; 0: the bundle's.", 0, 100, whole=True),
        "period": Number("Seconds between commands.", 0.001, 0.1),
        "grace": Number("Seconds a plan may be late before a fallback.", 0.0, 0.1),
        "observation_timeout": Number(
            "Seconds after which an observation is not acted on.", 0.01, MAX_COMMAND_TIMEOUT
        ),
        "command_topic": Text("Joint velocity commands, rad/s."),
        "imagined_path_rate": Number("Hz of the imagined fingertip path; 0: never.", 0.0, 10.0),
        "record_to": Text("Folder for planner.npz, written at the end; empty: none."),
        "realtime_priority": PRIORITY,
    },
}


def declare(node: Node) -> dict[str, Any]:
    """Declare the node's parameters and read them.

    Raises:
        SdiwmError: a value of the wrong type or out of range, naming the parameter.
    """
    name = node.get_name()
    defaults = read_defaults(name)
    return {
        key: _declare_one(node, key, defaults[key], specification)
        for key, specification in PARAMETERS[name].items()
    }


def _declare_one(node: Node, key: str, default: Any, specification: Specification) -> Any:
    descriptor = ParameterDescriptor(description=specification.description, read_only=True)
    allowed = "text" if isinstance(specification, Text) else "true or false"
    if isinstance(specification, Number):
        low, high = specification.low, specification.high
        allowed = f"{'a whole' if specification.whole else 'a decimal'} number, {low} to {high}"
        if specification.whole:
            range_ = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [range_]
        else:
            default = float(default)
            # A step of zero would be "any" in rcl_interfaces, and is.
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    try:
        return node.declare_parameter(key, default, descriptor).value
    except (InvalidParameterValueException, InvalidParameterTypeException) as error:
        raise SdiwmError(
            f"{node.get_name()}: parameter '{key}' must be {allowed} ({error})."
        ) from None
