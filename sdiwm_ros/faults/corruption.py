"""What can be wrong with a message: transforms for the streams of `sdiwm_ros.faults.injector`.

Each function makes a transform, or changes one message. Serialised messages in and out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from sdiwm_ros.faults.injector import Transform
from sdiwm_ros.messages import command_message, read_command, stamp_of, time_message


def dropped(message: bytes) -> None:
    """Nothing arrives."""


def edited(kind: Any, edit: Callable[[Any], None]) -> Transform:
    """Every message of a type, changed by `edit`."""

    def transform(message: bytes) -> bytes:
        content = deserialize_message(message, kind)
        edit(content)
        return bytes(serialize_message(content))

    return transform


def shifted(kind: type[Image] | type[JointState], shift_ns: Callable[[], int]) -> Transform:
    """The header's stamp moved by so many nanoseconds."""

    def shift(message: Image | JointState) -> None:
        message.header.stamp = time_message(stamp_of(message) + shift_ns())

    return edited(kind, shift)


def frozen(first: bytes) -> Transform:
    """The picture that was there first comes again and again, with its own stamp."""
    return lambda message: first


def frozen_with_new_stamps(first: bytes) -> Transform:
    """The same, but its driver stamps every copy anew."""
    picture = deserialize_message(first, Image)

    def transform(message: bytes) -> bytes:
        picture.header.stamp = deserialize_message(message, Image).header.stamp
        return bytes(serialize_message(picture))

    return transform


def joint_not_a_number(index: int) -> Transform:
    """Of the positions and velocities, number `index` (modulo their count) is NaN."""

    def spoil(message: JointState) -> None:
        values = [*message.position, *message.velocity]
        values[index % len(values)] = float("nan")
        half = len(message.position)
        message.position, message.velocity = array("d", values[:half]), array("d", values[half:])

    return edited(JointState, spoil)


def command_not_a_number(index: int) -> Transform:
    """Of the joint velocities, number `index` (modulo their count) is NaN."""

    def spoil(message: Float64MultiArray) -> None:
        values = np.array(message.data)
        values[index % len(values)] = np.nan
        message.data = array("d", values.tobytes())

    return edited(Float64MultiArray, spoil)


def picture_of_wrong_shape(message: Image) -> None:
    """Half as high and wide as the model sees."""
    message.height, message.width = message.height // 2, message.width // 2
    message.step = 3 * message.width
    message.data = array("B", bytes(message.height * message.step))


def picture_cut_short(message: Image) -> None:
    """Fewer bytes than its height and width promise."""
    message.data = message.data[: len(message.data) // 3]


def picture_of_wrong_encoding(message: Image) -> None:
    """Colours in another order."""
    message.encoding = "bgr8"


def joints_without_velocities(message: JointState) -> None:
    """As a broadcaster without a velocity interface sends them."""
    message.velocity = array("d")


def joints_of_another_robot(message: JointState) -> None:
    """Names that this robot does not have."""
    message.name = [f"other_{name}" for name in message.name]


def command_too_short(message: Float64MultiArray) -> None:
    """One joint is missing."""
    message.data = message.data[:-1]


def command_of_other_time(shift_ns: int) -> Transform:
    """A command that stems from an observation of another time."""

    def transform(message: bytes) -> bytes:
        command = read_command(deserialize_message(message, Float64MultiArray))
        other = replace(command, stamp_ns=max(1, command.stamp_ns + shift_ns))
        return bytes(serialize_message(command_message(other)))

    return transform
