"""A bag that is played to the nodes again gives the same plans: same seed, same bits."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from sdiwm_model import cli
from sdiwm_ros import messages
from sdiwm_ros.bag import BagWriter
from sdiwm_ros.replay_schedule import BagTopics, Feel, Say, Schedule, Show
from sdiwm_ros.signals import Command, CommandKind, Goal, Latent

BEGIN = 1_700_000_000_000_000_000
TICK = 4_000_000  # ns between joint states
PICTURES = 8  # joint states a picture
JOINTS = ("base_yaw", "shoulder_pitch", "elbow_pitch", "wrist_pitch")
TYPES = {
    "/camera/image_raw": "sensor_msgs/msg/Image",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/instruction": "std_msgs/msg/String",
    "/goal": "std_msgs/msg/Float32MultiArray",
    "/latent": "std_msgs/msg/Float32MultiArray",
    "/planner/command": "std_msgs/msg/Float64MultiArray",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
SAID = {0: "touch the red one", 60: "touch the blue one"}


def write_bag(folder, ticks=100, plans=None, diagnostics=None):
    """Sensors of a moving arm; with `plans` [(stamp, CRC-32)] also what the graph made of them.

    The instruction changes at tick 60.
    """
    bag = BagWriter(folder)
    for topic, kind in TYPES.items():
        bag.add(topic, kind)

    def say(topic, tick, message, late=0):
        bag.write(topic, BEGIN + tick * TICK + late, bytes(serialize_message(message)))

    rng = np.random.default_rng(0)
    goals, image_ns = 0, 0
    planned = {} if plans is None else dict(plans)
    for tick in range(ticks):
        stamp = BEGIN + tick * TICK
        if tick in SAID:
            goals += 1
            say("/instruction", tick, String(data=SAID[tick]))
            if plans is not None:
                say("/goal", tick, messages.goal_message(Goal(np.ones(16), SAID[tick])))
        if tick % PICTURES == 0:
            image = rng.integers(0, 256, (64, 64, 3), np.uint8)
            say("/camera/image_raw", tick, messages.image_message(image, stamp, "camera"))
            image_ns = stamp
        proprio = np.concatenate([np.full(4, 0.001 * tick), np.full(4, 0.25)])
        joints = messages.joint_state_message(JOINTS, proprio, stamp)
        joints.effort = [0.0] * 4  # after an empty one, rclpy appends bytes that belong to nothing
        say("/joint_states", tick, joints, 1000)
        if plans is not None:
            latent = Latent(np.zeros(32, np.float32), stamp, image_ns)
            say("/latent", tick, messages.latent_message(latent), 2000)
        if stamp in planned:
            number = 1 + sorted(planned).index(stamp)
            before = max((other for other in planned if other < stamp), default=0)
            command = Command(
                np.zeros(4), stamp, CommandKind.PLAN, goals, planned[stamp], number, before
            )
            say("/planner/command", tick, messages.command_message(command), 3000)
    if diagnostics:
        pairs = [KeyValue(key=key, value=value) for key, value in diagnostics.items()]
        status = DiagnosticStatus(level=b"\0", name="planner", values=pairs)
        say("/diagnostics", ticks, DiagnosticArray(status=[status]))
    bag.close()
    return folder


@pytest.fixture
def schedule():
    return lambda bag: Schedule(bag, BagTopics.within("", "camera/image_raw", "joint_states"))


def stamps(count):
    return [BEGIN + tick * TICK for tick in range(count)]


def test_the_same_seed_gives_the_same_plans_to_the_bit(tmp_path, capsys):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert cli.main(["replay", str(write_bag(tmp_path / "a")), "--json", str(first)]) == 0
    assert "not compared with the recorded plans: the bag holds no plans" in capsys.readouterr().out
    plans = json.loads(first.read_text())["plans"]
    assert [stamp for stamp, _ in plans] == stamps(100)
    assert len({plan for _, plan in plans}) == 100

    plans[70][1] ^= 1  # one plan of the recording is another
    bag = write_bag(tmp_path / "b", plans=[(stamp, plan) for stamp, plan in plans])
    assert cli.main(["replay", str(bag), "--json", str(second)]) == 1
    assert "99 of 100 recorded plans came out again, bit for bit" in capsys.readouterr().out
    again, before = json.loads(second.read_text()), json.loads(first.read_text())
    assert again["digest"] == before["digest"]
    assert (again["same"], again["different"]) == (99, 1)


def test_only_what_was_planned_on_is_shown_again_with_its_picture_and_goal(schedule, tmp_path):
    planned = [(stamp, 7) for stamp in stamps(100)[5:90]]
    steps = list(schedule(write_bag(tmp_path / "bag", plans=planned)).steps())
    felt = [step for step in steps if isinstance(step, Feel)]
    assert [step.stamp_ns for step in felt] == stamps(100)[5:90]
    assert all(step.image_ns == step.stamp_ns - (step.stamp_ns - BEGIN) % (PICTURES * TICK)
               for step in felt)  # fmt: skip
    shown = [step.stamp_ns for step in steps if isinstance(step, Show)]
    assert shown == sorted({step.image_ns for step in felt})
    spoken = [(step.sentence, steps[index + 1 :]) for index, step in enumerate(steps)
              if isinstance(step, Say)]  # fmt: skip
    assert [sentence for sentence, _ in spoken] == list(SAID.values())
    after = next(step for step in spoken[1][1] if isinstance(step, Feel))
    assert after.stamp_ns == BEGIN + 60 * TICK


def test_a_plan_that_was_overtaken_is_made_again_where_there_is_one_way(schedule, tmp_path):
    """Ticks 0 to 19 were planned on, but no command tells of tick 10."""
    bag = write_bag(tmp_path / "bag", ticks=20, plans=[(stamp, 7) for stamp in stamps(20)])
    renumbered = tmp_path / "other"
    _copy(bag, renumbered, drop=lambda topic, tick: topic == "/planner/command" and tick == 10)
    result = schedule(renumbered)
    assert result.recorded.objection == ""
    felt = [step for step in result.steps() if isinstance(step, Feel)]
    assert [step.stamp_ns for step in felt] == stamps(20)
    assert [step.plan for step in felt] == [None if tick == 10 else 7 for tick in range(20)]


def test_the_next_plan_tells_which_observation_the_overtaken_one_was_made_on(schedule, tmp_path):
    """Tick 10 was not planned on, and no command tells of the plan on tick 11."""
    planned = [(stamp, 7) for tick, stamp in enumerate(stamps(20)) if tick != 10]
    bag = write_bag(tmp_path / "bag", ticks=20, plans=planned)
    lost = _copy(
        bag, tmp_path / "other", lambda topic, tick: topic == "/planner/command" and tick == 11
    )
    result = schedule(lost)
    assert result.recorded.objection == ""
    felt = [(step.stamp_ns, step.plan) for step in result.steps() if isinstance(step, Feel)]
    assert felt == [(stamp, None if stamp == BEGIN + 11 * TICK else 7) for stamp, _ in planned]


@pytest.mark.parametrize(
    ("drop", "diagnostics", "objection"),
    [
        (lambda topic, tick: topic == "/planner/command", {}, "holds no plans"),
        (lambda topic, tick: tick == 0 and topic == "/planner/command", {}, "begins after"),
        (lambda topic, tick: topic == "/goal" and tick == 60, {}, "a goal was not recorded"),
        (
            lambda topic, tick: tick in (10, 11) and topic in ("/planner/command", "/latent"),
            {},
            "plans were made in 1 places that the bag does not tell of",
        ),
        (lambda topic, tick: False, {"compensated_ms": "5.0"}, "latency compensation"),
    ],
)
def test_a_bag_whose_plans_cannot_be_compared_says_why_and_is_replayed_whole(
    schedule, tmp_path, drop, diagnostics, objection
):
    planned = [(stamp, 7) for stamp in stamps(70)]
    bag = write_bag(tmp_path / "bag", ticks=70, plans=planned, diagnostics=diagnostics)
    result = schedule(_copy(bag, tmp_path / "other", drop))
    assert objection in result.recorded.objection
    felt = [step for step in result.steps() if isinstance(step, Feel)]
    assert [step.stamp_ns for step in felt] == stamps(70)
    assert all(step.plan is None for step in felt)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere: there is no metadata.yaml"),
        (["nowhere", "--backend", "abacus"], "unknown back end 'abacus'"),
        (["nowhere", "--robot", "r2d2"], "r2d2"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_any_node_starts(capsys, words, sentence):
    assert cli.main(["replay", *words]) == 2
    assert sentence in capsys.readouterr().err


def _copy(bag, folder, drop):
    """The bag without the messages for which `drop(topic, tick)` holds."""
    from sdiwm_model.data.importers.rosbag import open_bag

    copy = BagWriter(folder)
    with open_bag(bag) as reader:
        for connection in reader.connections:
            copy.add(connection.topic, connection.msgtype)
        for connection, received, raw in reader.messages():
            if not drop(connection.topic, (received - BEGIN) // TICK):
                copy.write(connection.topic, received, raw)
    copy.close()
    return folder
