"""What is recorded is what was said, can be trained on, and survives the recorder's end."""

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")
pytest.importorskip("mujoco")
from std_msgs.msg import String

from sdiwm_model import cli
from sdiwm_model.data.importers.rosbag import open_bag
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file
from sdiwm_ros.bag import BagWriter, next_bag
from sdiwm_ros.configuration import NODES
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.nodes.recorder import as_offered
from sdiwm_ros.process import COMMANDED, LATCHED, NEWEST
from sdiwm_ros.recording import load_run
from sdiwm_ros.signals import CommandKind

SPOKEN = {
    "/camera/image_raw",
    "/joint_states",
    "/instruction",
    "/goal",
    "/latent",
    "/planner/command",
    "/velocity_controller/commands",
    "/simulator/episode",
    "/simulator/goal",
    "/simulator/goal_cost",
    "/simulator/state",
    "/planner/imagined_path",
    "/planner/markers",
    "/diagnostics",
}


@pytest.fixture
def recorded(scripted, until, tmp_path) -> tuple[Path, Path]:
    """Two episodes of a scripted graph: the bag, and the folder of the simulator's own record."""
    environment = private_environment()
    parameters = {
        "simulator": {"record_to": str(tmp_path), "instruction": "touch the red one"},
        "recorder": {"record_to": str(tmp_path / "bags"), "keep_free": 0.0},
    }
    graph = Graph(parameters, environment, tmp_path, nodes=["recorder"])
    with graph, Monitor(environment) as monitor:
        until(monitor, lambda: "recording" in monitor.health_of("recorder").message)
        with Graph(parameters, environment, tmp_path, NODES):
            until(monitor, lambda: monitor.episodes, 40)
            monitor.say("touch the blue one")
            until(monitor, lambda: len(monitor.episodes) > 1, 40)
        graph.signal("recorder", signal.SIGTERM)
        assert graph.wait("recorder") == 0
    return tmp_path / "bags" / "bag-000", tmp_path


def test_a_recorded_run_holds_what_was_said_and_becomes_episodes(recorded, tmp_path, capsys):
    bag_folder, run_folder = recorded
    run = load_run(run_folder)
    with open_bag(bag_folder) as bag:
        assert {connection.topic for connection in bag.connections} >= SPOKEN
        commands = [c for c in bag.connections if c.topic == "/velocity_controller/commands"]
        stamps = [
            int(label.removeprefix("stamp_ns="))
            for connection, _, raw in bag.messages(commands)
            for label in (d.label for d in bag.deserialize(raw, connection.msgtype).layout.dim)
            if label.startswith("stamp_ns=")
        ]
    received = run.of_kind(CommandKind.PLAN)[:, 1]
    assert len(set(stamps) & set(received.tolist())) > 0.5 * len(received)

    settings = share_file("config/import/reach.yaml")
    words = ["data", "import", str(bag_folder), "--config", str(settings)]
    assert cli.main([*words, "--out", str(tmp_path / "episodes")]) == 0
    first, *others = load_episodes(tmp_path / "episodes")
    assert first.goal == 0
    assert any(episode.goal == 2 for episode in others)
    # The scripted model commands 0.4 rad/s of the first joint for red, and the arm follows.
    np.testing.assert_array_equal(first.action[:, 1:], 0.0)
    begin = 2 + int(np.argmax(first.action[:, 0] > 0))
    np.testing.assert_allclose(first.action[begin : begin + 30, 0], 0.4 / 1.5, 1e-5)
    velocity = (first.proprio[begin + 30, 0] - first.proprio[begin, 0]) / (30 * 0.04)
    assert velocity == pytest.approx(0.4, rel=0.1)


class Speaker:
    """Publishes text in the domain of `environment`, latched or not."""

    def __init__(self, monitor):
        self._node = monitor._node

    def say(self, topic, text, quality):
        publisher = self._node.create_publisher(String, topic, quality)
        publisher.publish(String(data=text))
        return publisher


def texts(bag_folder):
    """{topic: texts} of the strings in a bag."""
    with open_bag(bag_folder) as bag:
        strings = [c for c in bag.connections if c.msgtype == "std_msgs/msg/String"]
        said = {}
        for connection, _, raw in bag.messages(strings):
            text = bag.deserialize(raw, connection.msgtype).data
            said.setdefault(connection.topic, []).append(text)
        return said


def record_speech(tmp_path, until, wanted, namespace="", **parameters):
    """What a recorder keeps of words on three topics that were latched before it started.

    wanted: the topics that it must have heard before it is ended.
    """
    environment = private_environment()
    given = {"recorder": {"record_to": str(tmp_path), "keep_free": 0.0} | parameters}
    with Monitor(environment) as monitor:
        speaker = Speaker(monitor)
        topics = ("/left/word", "/left/other", "/right/word")
        spoken = {topic: speaker.say(topic, f"from {topic}", LATCHED) for topic in topics}
        awaited = [spoken[topic] for topic in wanted]
        with Graph(given, environment, tmp_path, ["recorder"], namespace) as graph:
            until(monitor, lambda: graph.check() or all(map(is_heard, awaited)), 60)
            assert all(publisher.wait_for_all_acked() for publisher in awaited)
            graph.signal("recorder", signal.SIGINT)
            assert graph.wait("recorder", 20) == 0
    return texts(tmp_path / "bag-000")


def is_heard(publisher):
    return publisher.get_subscription_count() > 0


def test_a_recorder_keeps_its_own_namespace_and_what_was_latched_before_it_came(until, tmp_path):
    wanted = {"/left/word": ["from /left/word"], "/left/other": ["from /left/other"]}
    assert record_speech(tmp_path, until, wanted, namespace="/left") == wanted


def test_a_recorder_keeps_the_topics_that_it_is_told_and_no_others(until, tmp_path):
    wanted = {"/right/word": ["from /right/word"], "/left/word": ["from /left/word"]}
    assert record_speech(tmp_path, until, wanted, topics="/right/word left/word") == wanted


def test_a_subscription_asks_for_no_more_than_every_publisher_offers():
    both = as_offered([LATCHED, LATCHED])
    assert both.durability == LATCHED.durability
    assert both.reliability == LATCHED.reliability
    mixed = as_offered([LATCHED, COMMANDED, NEWEST])
    assert mixed.durability == NEWEST.durability
    assert mixed.reliability == NEWEST.reliability
    assert mixed.depth > 100


def test_a_bag_is_never_written_over(tmp_path):
    first = next_bag(tmp_path)
    BagWriter(first).close()
    assert (first.name, next_bag(tmp_path).name) == ("bag-000", "bag-001")
    with pytest.raises(SdiwmError, match="a bag is never written over"):
        BagWriter(first)


def test_a_type_that_nobody_knows_is_not_recorded(tmp_path):
    bag = BagWriter(tmp_path / "bag")
    assert not bag.add("/odd", "acme_msgs/msg/Odd")
    assert bag.add("/plain", "std_msgs/msg/String")
    bag.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record_to": "/proc/bags"}, "'record_to': /proc/bags is no folder to write to"),
        ({"keep_free": 1e6}, "MB are free"),
    ],
)
def test_a_recorder_without_room_says_so(tmp_path, changes, words):
    environment = private_environment()
    parameters = {"recorder": {"record_to": str(tmp_path)} | changes}
    with Graph(parameters, environment, tmp_path, ["recorder"]) as graph:
        assert graph.wait("recorder", 20) == 2
        with pytest.raises(SdiwmError, match=words):
            graph.check()
