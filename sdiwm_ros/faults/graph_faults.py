"""Faults of sensors, messages, processes and files, and of the clock."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from functools import partial

from rcl_interfaces.msg import ParameterType, ParameterValue
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.faults import corruption
from sdiwm_ros.faults.bed import Bed
from sdiwm_ros.faults.cases import Case, Check, Fault, counts, says
from sdiwm_ros.faults.injector import CAMERA, COMMANDS, JOINTS, Transform
from sdiwm_ros.faults.measure import Answer
from sdiwm_ros.parameters import PARAMETERS, Number, Specification, specifications_of
from sdiwm_ros.trial import MODEL_NODES

FLOOD = 400  # sentences
FLOOD_BURST = 5  # of them at once


def on_the_way(bed: Bed, topic: str, transform: Transform, timeout: float, detected: Check) -> Case:
    """A stream's messages changed or lost."""
    stream = bed.injector.streams[topic]

    def set_to(chosen: Transform | None) -> None:
        stream.transform = chosen

    return Case(timeout, partial(set_to, transform), partial(set_to, None), detected)


def pick(bed: Bed, choices: Sequence[Callable[[Bed], Case]]) -> Case:
    """One of the cases, drawn at random."""
    return choices[int(bed.random.integers(len(choices)))](bed)


def camera_frozen(bed: Bed) -> Case:
    """One picture again and again: with its old stamp, or stamped anew."""
    first = bed.injector.streams[CAMERA].newest
    old = bool(bed.random.integers(2))
    transform = corruption.frozen(first) if old else corruption.frozen_with_new_stamps(first)
    words = "already .* ms old" if old else "has not changed for"
    return on_the_way(bed, CAMERA, transform, image_timeout(), says(words, "observer"))


def camera_lost(bed: Bed) -> Case:
    """No more pictures."""
    detected = says("picture is more than .* old", "observer")
    return on_the_way(bed, CAMERA, corruption.dropped, image_timeout(), detected)


def joints_lost(bed: Bed) -> Case:
    """No more joint states."""
    timeout = bed.robot.timeouts.joint_states
    return on_the_way(
        bed, JOINTS, corruption.dropped, timeout, says("no joint states for", "guard")
    )


def not_a_number(bed: Bed) -> Case:
    """In the joint states, or in the planner's commands."""
    index = int(bed.random.integers(1000))

    def joints(bed: Bed) -> Case:
        transform = corruption.joint_not_a_number(index)
        return on_the_way(bed, JOINTS, transform, 0.0, says("NaN|finite", "observer", "guard"))

    def commands(bed: Bed) -> Case:
        transform = corruption.command_not_a_number(index)
        return on_the_way(bed, COMMANDS, transform, 0.0, says("finite", "guard"))

    return pick(bed, [joints, commands])


def wrong_shape(bed: Bed) -> Case:
    """Pictures, joint states or commands that are not this robot's."""
    kinds = [
        (CAMERA, Image, corruption.picture_of_wrong_shape, "resize", "observer"),
        (CAMERA, Image, corruption.picture_cut_short, "bytes", "observer"),
        (CAMERA, Image, corruption.picture_of_wrong_encoding, "rgb8", "observer"),
        (JOINTS, JointState, corruption.joints_without_velocities, "velocit", "observer"),
        (JOINTS, JointState, corruption.joints_of_another_robot, "base_yaw|finger_x", "observer"),
        (COMMANDS, Float64MultiArray, corruption.command_too_short, "command for", "guard"),
    ]
    topic, kind, edit, words, node = kinds[int(bed.random.integers(len(kinds)))]
    return on_the_way(bed, topic, corruption.edited(kind, edit), 0.0, says(words, node))


def stale_stamps(bed: Bed) -> Case:
    """Stamps of pictures, joint states or commands 0.3 to 10 s in the past, or in the future."""
    shift = int(1e9 * bed.random.uniform(0.3, 10.0))
    way = 1 if bed.random.random() < 0.3 else -1
    kinds = [
        (CAMERA, corruption.shifted(Image, lambda: way * shift), "observer"),
        (JOINTS, corruption.shifted(JointState, lambda: way * shift), "observer"),
        (COMMANDS, corruption.command_of_other_time(way * shift), "guard"),
    ]
    topic, transform, node = kinds[int(bed.random.integers(len(kinds)))]
    return on_the_way(bed, topic, transform, 0.0, says("ms old|in the future", node))


def clock_jump(bed: Bed) -> Case:
    """The clock of all nodes and stamps jumps by 0.5 to 100 s, either way, and stays there."""
    jump = int(1e9 * bed.random.uniform(0.5, 100.0)) * (1 if bed.random.integers(2) else -1)

    def inject() -> None:
        bed.injector.jumped_ns += jump

    words = says("the clock jumped", "guard", "observer")
    counted = counts("clock_jumps", "guard")(bed)
    return Case(0.0, inject, lambda: None, lambda bed, at: words(bed, at) or counted(bed, at))


def planner_killed(bed: Bed) -> Case:
    """SIGKILL; cleared by starting it anew, as a launch file's respawn does."""

    def inject() -> None:
        bed.graph.signal("planner", signal.SIGKILL)

    def clear() -> None:
        bed.graph.wait("planner")
        bed.graph.restart("planner")

    timeout = bed.robot.timeouts.command
    return Case(timeout, inject, clear, says("no command for", "guard"))


def planner_stalled(bed: Bed) -> Case:
    """SIGSTOP; cleared by SIGCONT, when it goes on with whatever it had in hand."""
    return Case(
        bed.robot.timeouts.command,
        partial(bed.graph.signal, "planner", signal.SIGSTOP),
        partial(bed.graph.signal, "planner", signal.SIGCONT),
        says("no command for", "guard"),
    )


def instruction_flood(bed: Bed) -> Case:
    """Hundreds of sentences, about a thousand a second, that name one target after another."""
    heard = bed.injector.instructions
    bed.injector.until(lambda: len(set(heard)) > 1, 30.0)
    sentences = sorted(set(heard))

    def inject() -> None:
        for _ in range(FLOOD // FLOOD_BURST):
            for _ in range(FLOOD_BURST):
                bed.injector.say(str(bed.random.choice(sentences)))
            bed.injector.spin(0.001 * FLOOD_BURST)

    def in_force(bed: Bed, since: float) -> bool:
        heard = bed.injector.health_of("language_goal").values.get("instruction")
        return heard == bed.injector.instructions[-1]

    skipped = counts("skipped_instructions", "language_goal")(bed)
    return Case(0.0, inject, lambda: None, skipped, in_force)


def nonsense_parameter(bed: Bed) -> Case:
    """A value of a wrong type or range, or one that a running node must not change."""
    node = str(bed.random.choice(sorted(PARAMETERS.keys() & bed.graph.processes.keys())))
    specifications = specifications_of(node)
    name = str(bed.random.choice(sorted(specifications)))
    value = nonsense(bed, specifications[name])
    first = bed.injector.get_parameter(node, name)

    def unchanged(bed: Bed, since: float) -> bool:
        return bed.injector.get_parameter(node, name) == first

    def inject() -> str:
        return bed.injector.set_parameter(node, name, value)

    return Case(0.0, inject, lambda: None, lambda bed, since: False, unchanged)


def nonsense(bed: Bed, specification: Specification) -> ParameterValue:
    """A value that a running node must not take for this parameter."""
    text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="nonsense")
    number = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float("nan"))
    if not isinstance(specification, Number):
        return number if bed.random.integers(2) or specification.live else text
    beyond = specification.high + 1 if bed.random.integers(2) else specification.low - 1
    if specification.whole:
        far = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=int(beyond))
    else:
        far = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(beyond))
    return (text, number, far)[int(bed.random.integers(3))]


def model_replaced(bed: Bed) -> Case:
    """A file of the model becomes another while the nodes run, and is later put back."""
    files = sorted(path for path in bed.bundle.iterdir() if path.is_file())
    file = files[int(bed.random.integers(len(files)))]
    aside = bed.bundle.parent / file.name

    def inject() -> None:
        file.rename(aside)
        file.write_bytes(bed.random.bytes(1000))

    def clear() -> None:
        aside.replace(file)

    def all_warn(bed: Bed, since: float) -> bool:
        return all(says("was replaced", node)(bed, since) for node in MODEL_NODES)

    return Case(0.0, inject, clear, all_warn)


def image_timeout() -> float:
    """Seconds for which the observer trusts a picture."""
    return float(read_defaults("observer")["image_timeout"])


GRAPH_FAULTS = (
    Fault("camera_frozen", Answer.STOP, camera_frozen),
    Fault("camera_lost", Answer.STOP, camera_lost),
    Fault("joint_states_lost", Answer.STOP, joints_lost),
    Fault("nan_messages", Answer.STOP, not_a_number),
    Fault("wrong_shape_messages", Answer.STOP, wrong_shape),
    Fault("stale_stamps", Answer.STOP, stale_stamps),
    Fault(
        "planner_killed", Answer.STOP, planner_killed, 60.0,
        "the planner is started anew; model and libraries are loaded again",
    ),
    Fault("planner_stalled", Answer.STOP, planner_stalled),
    Fault(
        "instruction_flood", Answer.SURVIVE, instruction_flood,
        meaning="the sentence said last is in force",
    ),
    Fault(
        "nonsense_parameter", Answer.SURVIVE, nonsense_parameter,
        meaning="the parameter has its old value",
    ),
    Fault(
        "model_replaced", Answer.SURVIVE, model_replaced,
        meaning="no warning once the old files are back",
    ),
)  # fmt: skip
"""On the whole graph in real time."""

CLOCK_FAULTS = (Fault("clock_jump", Answer.SURVIVE, clock_jump),)
"""On a graph whose clock is the simulator's."""
