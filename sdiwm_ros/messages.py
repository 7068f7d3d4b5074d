"""What the nodes say to each other, packed into standard messages.

Custom message types need a ROS 2 build; the PyPI wheels have none. So vectors travel as
std_msgs/Float32MultiArray or Float64MultiArray, and what belongs to them travels in the layout's
dimension labels, after the vector's own dimensions:

    dim[0..]  label = name of the vector          size = its length, as usual
    dim[n..]  label = "key=value", size = 1       one for each of:

    stamp_ns     when the observation was taken that this vector was computed from
    kind         commands: plan | fallback | safe | hold (see `CommandKind`)
    goal         commands: how many goals the planner had been given when it planned;
                 a chip's plans: CRC-32 of the goal's vector
    starts_ns    a chip's plans: when their first action is to act
    plan         commands: CRC-32 of the plan that they come from; 0: of none
    number       commands: how many plans the planner had made with that one
    before_ns    commands: the stamp that the plan before was made on
    image_ns     latents: when the picture was taken; 0: unknown
    instruction  goals: the sentence; an empty vector says that it was refused

ros2_control's forward command controllers read `data` and ignore `layout`, so a command is
understood by them as it is. Stamps are the host's system clock in nanoseconds: latencies are
only meaningful between processes on one host.
"""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import (
    Float32MultiArray,
    Float64MultiArray,
    MultiArrayDimension,
    MultiArrayLayout,
)

from sdiwm_model.errors import SdiwmError
from sdiwm_ros.signals import Array, ChipPlan, Command, CommandKind, Goal, Latent


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds -> builtin_interfaces/Time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def stamp_of(message: Image | JointState) -> int:
    """Nanoseconds of a message's header stamp."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def image_message(image: NDArray[np.uint8], stamp_ns: int, frame: str) -> Image:
    """image (H, W, 3) RGB -> sensor_msgs/Image rgb8."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8")
    message.step = 3 * image.shape[1]
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame
    message.data = array("B", image.tobytes())
    return message


def read_image(message: Image) -> NDArray[np.uint8]:
    """sensor_msgs/Image rgb8 -> (H, W, 3) uint8.

    Raises:
        SdiwmError: another encoding, or fewer bytes than height and step promise.
    """
    if message.encoding != "rgb8":
        raise SdiwmError(f"image: encoding '{message.encoding}'; the camera must publish rgb8.")
    height, width = int(message.height), int(message.width)
    if message.step != 3 * width or len(message.data) != 3 * width * height:
        raise SdiwmError(
            f"image: {len(message.data)} bytes of step {message.step} do not make a"
            f" {height}x{width} rgb8 picture; publish rows without padding."
        )
    return np.frombuffer(message.data, dtype=np.uint8).reshape(height, width, 3)


def joint_state_message(names: tuple[str, ...], proprio: Array, stamp_ns: int) -> JointState:
    """proprio (2J,) = [position rad, velocity rad/s] -> sensor_msgs/JointState."""
    count = len(names)
    message = JointState(name=list(names))
    message.header.stamp = time_message(stamp_ns)
    values = np.asarray(proprio, dtype=np.float64)
    message.position = array("d", values[:count].tobytes())
    message.velocity = array("d", values[count:].tobytes())
    return message


def latent_message(latent: Latent) -> Float32MultiArray:
    """z (Z,) and its stamp -> message."""
    stamps = {"stamp_ns": str(latent.stamp_ns), "image_ns": str(latent.image_ns)}
    return _floats(latent.z, "latent", **stamps)


def read_latent(message: Float32MultiArray) -> Latent:
    """SdiwmError where it is no latent."""
    labels = _labels(message.layout, "latent")
    z = np.array(message.data, dtype=np.float32)
    return Latent(z, _integer(labels, "stamp_ns"), _integer({"image_ns": "0"} | labels, "image_ns"))


def goal_message(goal: Goal) -> Float32MultiArray:
    """c (C,), or an empty vector for a refused sentence -> message."""
    values = np.zeros(0, np.float32) if goal.c is None else goal.c
    return _floats(values, "goal", instruction=goal.instruction)


def read_goal(message: Float32MultiArray) -> Goal:
    """SdiwmError where it is no goal."""
    labels = _labels(message.layout, "goal")
    c = np.array(message.data, dtype=np.float32) if len(message.data) else None
    return Goal(c, labels.get("instruction", ""))


def measured_message(name: str, values: Array, stamp_ns: int) -> Float32MultiArray:
    """values (N,), measured when the sensors were, e.g. the distance to each goal -> message."""
    return _floats(values, name, stamp_ns=str(stamp_ns))


def chip_plan_message(plan: ChipPlan) -> Float32MultiArray:
    """A microcontroller's plan (H, A) -> message."""
    labels = {"stamp_ns": plan.stamp_ns, "starts_ns": plan.starts_ns, "goal": plan.goal}
    return _floats(plan.actions, "plan", **{key: str(value) for key, value in labels.items()})


def read_chip_plan(message: Float32MultiArray, actions: int) -> ChipPlan:
    """SdiwmError where it is no plan of this number of actions."""
    labels = _labels(message.layout, "plan")
    values = np.array(message.data, dtype=np.float32)
    if not values.size or values.size % actions:
        raise SdiwmError(f"plan: {values.size} numbers are no sequence of {actions} actions.")
    numbers = (_integer(labels, key) for key in ("stamp_ns", "starts_ns", "goal"))
    return ChipPlan(values.reshape(-1, actions), *numbers)


def path_message(points: Array, stamp_ns: int) -> Float32MultiArray:
    """points (T, 3) m imagined from the observation of `stamp_ns`."""
    return _floats(points, "path", stamp_ns=str(stamp_ns))


def read_path(message: Float32MultiArray) -> tuple[Array, int]:
    """-> points (T, 3) m, and the stamp of the observation they were imagined from."""
    labels = _labels(message.layout, "path")
    points = np.array(message.data, dtype=np.float32).reshape(-1, 3)
    return points, _integer(labels, "stamp_ns")


def command_message(command: Command) -> Float64MultiArray:
    """Joint velocities (A,) in rad/s with their origin -> message."""
    message = Float64MultiArray()
    message.layout = _layout(
        command.velocity.shape,
        "joint_velocity",
        stamp_ns=str(command.stamp_ns),
        kind=command.kind.value,
        goal=str(command.goal),
        plan=str(command.plan),
        number=str(command.number),
        before_ns=str(command.before_ns),
    )
    message.data = array("d", np.asarray(command.velocity, np.float64).tobytes())
    return message


def read_command(message: Float64MultiArray) -> Command:
    """-> Command. One without labels (another controller's) reads as a plan of unknown age."""
    velocity = np.array(message.data, dtype=np.float64)
    if not message.layout.dim:
        return Command(velocity, 0, CommandKind.PLAN, 0)
    labels = _labels(message.layout, "joint_velocity")
    try:
        kind = CommandKind(labels.get("kind", ""))
    except ValueError:
        raise SdiwmError(f"command: unknown kind '{labels.get('kind')}' in the layout.") from None
    stamp, goal = _integer(labels, "stamp_ns"), _integer(labels, "goal")
    origin = {"plan": "0", "number": "0", "before_ns": "0"} | labels
    plan, number, before = (_integer(origin, key) for key in ("plan", "number", "before_ns"))
    return Command(velocity, stamp, kind, goal, plan, number, before)


def _floats(values: Array, name: str, **labels: str) -> Float32MultiArray:
    message = Float32MultiArray(layout=_layout(values.shape, name, **labels))
    message.data = array("f", np.ascontiguousarray(values, np.float32).tobytes())
    return message


def _layout(shape: tuple[int, ...], name: str, **labels: str) -> MultiArrayLayout:
    stride = int(np.prod(shape))
    dimensions = []
    for size in shape:
        dimensions.append(MultiArrayDimension(label=name, size=size, stride=stride))
        stride //= max(size, 1)
    dimensions += [
        MultiArrayDimension(label=f"{key}={value}", size=1, stride=1)
        for key, value in labels.items()
    ]
    return MultiArrayLayout(dim=dimensions)


def _labels(layout: MultiArrayLayout, name: str) -> dict[str, str]:
    if not layout.dim or layout.dim[0].label != name:
        found = layout.dim[0].label if layout.dim else "nothing"
        raise SdiwmError(f"message: expected a vector labelled '{name}', found '{found}'.")
    labels = {}
    for dimension in layout.dim:
        key, equals, value = dimension.label.partition("=")
        if equals:
            labels[key] = value
    return labels


def _integer(labels: dict[str, str], key: str) -> int:
    try:
        return int(labels[key])
    except (KeyError, ValueError):
        raise SdiwmError(f"message: the layout carries no whole number '{key}'.") from None
