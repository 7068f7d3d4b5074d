"""A bag becomes episodes that say what happened, and says why where it does not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags")
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sdiwm_model import cli
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import read_manifest
from sdiwm_model.data.verify import verify
from sdiwm_model.share import share_file

STORE = get_typestore(Stores.ROS2_KILTED)
SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
SPEED = (0.5, -0.25)  # rad/s of the two joints
SETTINGS = {
    "topics": {
        "image": "camera/image_raw",
        "joint_states": "joint_states",
        "command": "commands",
        "instruction": "instruction",
        "goal_cost": "goal_cost",
        "state": "state",
    },
    "joints": ["shoulder", "elbow"],
    "goal_words": {"red": ["red", "crimson"], "blue": ["blue"]},
    "task": {
        "name": "bench",
        "dt": 0.04,
        "goals": ["red", "blue"],
        "action_limit": [1.0, 0.5],
        "cost_unit": 0.1,
        "goal_modality": "words",
        "cameras": ["front"],
        "camera_lags": True,
    },
}


class Bag:
    """Writes messages with `say(topic, type, seconds, **fields)`."""

    def __init__(self, folder, storage=StoragePlugin.MCAP):
        self.folder = folder
        self._writer = Writer(folder, version=9, storage_plugin=storage)
        self._connections = {}

    def __enter__(self):
        self._writer.__enter__()
        return self

    def __exit__(self, *error):
        self._writer.__exit__(*error)

    def offer(self, topic, kind):
        """As a recorder does that hears of a topic on which nothing is said yet."""
        if topic not in self._connections:
            connection = self._writer.add_connection(topic, kind, typestore=STORE)
            self._connections[topic] = connection

    def say(self, topic, kind, seconds, **fields):
        self.offer(topic, kind)
        raw = STORE.serialize_cdr(STORE.types[kind](**fields), kind)
        self._writer.write(self._connections[topic], BEGIN + round(seconds * SECOND), raw)


def header(seconds):
    stamp = BEGIN + round(seconds * SECOND)
    time = STORE.types["builtin_interfaces/msg/Time"](stamp // SECOND, stamp % SECOND)
    return STORE.types["std_msgs/msg/Header"](time, "")


def layout():
    return STORE.types["std_msgs/msg/MultiArrayLayout"]([], 0)


def write_bag(
    folder,
    seconds=4.0,
    sentences=((0.0, "touch red"),),
    silent=lambda topic, t: False,
    joints=("elbow", "gripper", "shoulder"),
    prefix="",
    goals=(),
    storage=StoragePlugin.MCAP,
    stamped=lambda topic, t: t,
):
    """Pictures at 30 Hz whose pixels tell their number, joints at 200 Hz moving at `SPEED`, and
    commands at 100 Hz of +0.5 in the first half of every 0.1 s and 0 in the second.
    """
    size = 4
    positions = {"shoulder": SPEED[0], "elbow": SPEED[1], "gripper": 9.0}

    with Bag(folder, storage) as bag:

        def say(topic, kind, t, **fields):
            if not silent(topic, t):
                bag.say(f"{prefix}/{topic}", kind, t, **fields)

        if not sentences:
            bag.offer(f"{prefix}/instruction", "std_msgs/msg/String")
        for t, name in goals:
            say("goal", "std_msgs/msg/String", t, data=name)
        for t, sentence in sentences:
            say("instruction", "std_msgs/msg/String", t, data=sentence)
        for tick in range(round(seconds * 200)):
            t = tick / 200
            if tick % 20 < 10 and tick % 2 == 0:
                say("commands", "std_msgs/msg/Float64MultiArray", t, layout=layout(),
                    data=np.array([0.5, -0.5]))  # fmt: skip
            elif tick % 2 == 0:
                say("commands", "std_msgs/msg/Float64MultiArray", t, layout=layout(),
                    data=np.zeros(2))  # fmt: skip
            when = stamped("joint_states", t)
            say("joint_states", "sensor_msgs/msg/JointState", t, header=header(when),
                name=list(joints), position=np.array([positions[j] * t for j in joints]),
                velocity=np.array([positions[j] for j in joints]), effort=np.zeros(0))  # fmt: skip
        for number in range(round(seconds * 30)):
            t = number / 30
            pixels = np.full(size * size * 3, number % 256, np.uint8)
            when = stamped("camera/image_raw", t)
            say("camera/image_raw", "sensor_msgs/msg/Image", t, header=header(when), height=size,
                width=size, encoding="rgb8", is_bigendian=0, step=3 * size,
                data=pixels)  # fmt: skip
            for topic in ("goal_cost", "state"):
                say(topic, "std_msgs/msg/Float32MultiArray", t, layout=layout(),
                    data=np.array([t, 2 * t], np.float32))  # fmt: skip
    return folder


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    return path


@pytest.fixture
def run(tmp_path, settings):
    """`run(bag)`: import it; exit status and the folder."""

    def run_import(*bags, extra=()):
        out = tmp_path / "episodes"
        words = ["data", "import", *map(str, bags), "--config", str(settings), "--out", str(out)]
        return cli.main([*words, *extra]), out

    return run_import


def test_every_stream_arrives_on_the_grid_of_model_steps(run, tmp_path):
    status, out = run(write_bag(tmp_path / "bag"))
    assert status == 0
    (episode,) = load_episodes(out)
    # It begins with the first picture after the margin: number 2, at 66.7 ms.
    begin = 2 / 30
    times = begin + 0.04 * np.arange(len(episode))
    assert len(episode) == int((119 / 30 - begin) / 0.04)
    np.testing.assert_allclose(episode.proprio[:, 0], SPEED[0] * times, atol=1e-5)
    np.testing.assert_allclose(episode.proprio[:, 1], SPEED[1] * times, atol=1e-5)
    np.testing.assert_allclose(episode.proprio[:, 2:], [SPEED] * len(episode), atol=1e-6)
    np.testing.assert_allclose(episode.goal_cost[:, 1], 2 * times, atol=1e-5)
    np.testing.assert_allclose(episode.state[:, 0], times, atol=1e-5)
    np.testing.assert_array_equal(episode.frames[:, 0, 0, 0], np.rint(times * 30))
    assert (episode.instruction, episode.goal, episode.behaviour) == ("touch red", 0, "recorded")


def test_an_action_is_the_average_of_the_commands_in_force_during_its_step(run, tmp_path):
    _, out = run(write_bag(tmp_path / "bag"))
    (episode,) = load_episodes(out)
    fine = np.arange(0, 4.0, 1e-4)
    force = np.where((fine * 10) % 1 < 0.5, 0.5, 0.0)
    begin = 2 / 30
    expected = [
        force[(fine >= begin + 0.04 * k) & (fine < begin + 0.04 * (k + 1))].mean()
        for k in range(len(episode))
    ]
    np.testing.assert_allclose(episode.action[:, 0], expected, atol=0.01)
    np.testing.assert_allclose(episode.action[:, 1], -2 * np.array(expected), atol=0.02)


def test_every_instruction_begins_an_episode_and_one_without_a_goal_makes_none(
    run, tmp_path, capsys
):
    said = ((0.0, "touch red"), (1.5, "how are you?"), (2.5, "now the blue one"))
    status, out = run(write_bag(tmp_path / "bag", sentences=said))
    assert status == 0
    first, second = load_episodes(out)
    assert (first.goal, second.goal) == (0, 1)
    assert first.proprio[-1, 0] < SPEED[0] * 1.45
    assert second.proprio[0, 0] > SPEED[0] * 2.55
    assert "'how are you?' names no single goal" in capsys.readouterr().err
    assert read_manifest(out)["failures"] == [
        f"{tmp_path / 'bag'}: 'how are you?' names no single goal"
    ]


@pytest.mark.parametrize(
    ("said", "goals", "expected"),
    [
        pytest.param(
            ((0.0, "not red but blue"), (1.5, "red"), (2.5, "the blue one")),
            ((0.01, "blue"), (2.5, "blue")),
            [("not red but blue", 1), ("the blue one", 1)],
            id="more-than-the-words",
        ),
        pytest.param(
            ((0.0, "that one"), (1.5, "no answer"), (2.5, "the other")),
            ((0.3, "blue"), (2.6, "red")),
            [("that one", 1), ("the other", 0)],
            id="later-than-the-instruction-but-before-the-next",
        ),
    ],
)
def test_a_goal_that_was_said_counts(run, tmp_path, settings, said, goals, expected):
    content = SETTINGS | {"topics": SETTINGS["topics"] | {"goal": "goal"}}
    settings.write_text(yaml.safe_dump(content))
    status, out = run(write_bag(tmp_path / "bag", sentences=said, goals=goals))
    assert status == 0
    assert [(e.instruction, e.goal) for e in load_episodes(out)] == expected


@pytest.mark.parametrize("topic", ["camera/image_raw", "joint_states", "commands", "goal_cost"])
def test_a_stream_that_falls_silent_cuts_the_episode(run, tmp_path, topic):
    bag = write_bag(tmp_path / "bag", silent=lambda name, t: name == topic and 1.5 < t < 2.5)
    status, out = run(bag)
    assert status == 0
    before, after = load_episodes(out)
    assert before.proprio[-1, 0] <= SPEED[0] * 1.5
    assert after.proprio[0, 0] >= SPEED[0] * 2.49


def test_episodes_train_beside_collected_ones(run, tmp_path):
    _, out = run(write_bag(tmp_path / "bag"))
    task = verify(out)["task"]
    assert task["train_instructions"] == [["touch red"], []]
    assert {key: task[key] for key in SETTINGS["task"]} == SETTINGS["task"]


def test_two_bags_make_one_folder(run, tmp_path):
    bags = [write_bag(tmp_path / "a"), write_bag(tmp_path / "b", sentences=((0.0, "blue"),))]
    status, out = run(*bags)
    assert status == 0
    assert [episode.seed for episode in load_episodes(out)] == [0, 1]
    assert read_manifest(out)["provenance"]["sources"] == [str(bag) for bag in bags]


def test_a_namespace_goes_in_front_of_relative_topics(run, tmp_path):
    bag = write_bag(tmp_path / "bag", prefix="/left_arm")
    status, out = run(bag, extra=["--namespace", "left_arm"])
    assert status == 0
    assert len(load_episodes(out)) == 1


def test_a_bag_in_sqlite_gives_what_one_in_mcap_does(run, tmp_path):
    episodes = []
    for storage in StoragePlugin:
        bag = write_bag(tmp_path / storage.name, seconds=1.5, storage=storage)
        status, out = run(bag)
        assert status == 0
        episodes.append(load_episodes(out)[0])
        shutil.rmtree(out)
    one, other = episodes
    for name in ("frames", "proprio", "action", "goal_cost", "state"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("topic", ["joint_states", "camera/image_raw"])
def test_stamps_out_of_order_are_sorted_and_noted(run, tmp_path, capsys, topic):
    def swapped(name, t):
        """The messages at 1.0 and 1.1 s carry each other's stamps."""
        return {1.0: 1.1, 1.1: 1.0}.get(round(t, 6), t) if name == topic else t

    status, out = run(write_bag(tmp_path / "bag", seconds=2.0, stamped=swapped))
    assert status == 0
    (note,) = read_manifest(out)["notes"]
    # Every message between the two is stamped before the first, and so is the second.
    between = 20 if topic == "joint_states" else 3
    assert f"topic /{topic}: {between} of " in note
    assert "are stamped before an earlier one; sorted" in note
    assert note in capsys.readouterr().err
    (episode,) = load_episodes(out)
    assert read_manifest(out)["sources"] == {"whole": 1}
    if topic == "camera/image_raw":  # the pixels tell which picture it is
        times = 2 / 30 + 0.04 * np.arange(len(episode))
        number = np.rint(times * 30)
        shown = np.select([number == 30, number == 33], [33, 30], number)
        np.testing.assert_array_equal(episode.frames[:, 0, 0, 0], shown)


def test_of_several_bags_one_without_a_topic_is_left_out_and_named(run, tmp_path):
    bags = [
        write_bag(tmp_path / "a", seconds=1.5),
        write_bag(tmp_path / "b", seconds=1.5, silent=lambda name, t: name == "goal_cost"),
        write_bag(tmp_path / "c", seconds=1.5, silent=lambda name, t: name == "instruction"),
        write_bag(tmp_path / "d", seconds=1.5),
    ]
    status, out = run(*bags)
    assert status == 0
    manifest = read_manifest(out)
    assert manifest["sources"] == {"lost": 2, "whole": 2}
    without_costs, without_words = manifest["failures"]
    assert f"{bags[1]}: topic /goal_cost was not recorded; there is:" in without_costs
    assert f"{bags[2]}: topic /instruction was not recorded" in without_words
    assert [Path(each.source).name for each in load_episodes(out)] == ["a", "d"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"silent": lambda name, t: name == "joint_states"}, "/joint_states was not recorded"),
        ({"silent": lambda name, t: name == "instruction"}, "/instruction was not recorded"),
        ({"sentences": ()}, "/instruction: no instruction was recorded"),
        ({"joints": ("gripper", "shoulder")}, "no joint 'elbow'; there is: gripper, shoulder"),
        ({"sentences": ((0.0, "dance"),)}, "'dance' names no single goal"),
        ({"seconds": 0.5}, "steps without a gap"),
    ],
)
def test_a_bag_that_makes_no_episode_is_refused_in_words(run, tmp_path, capsys, changes, sentence):
    status, out = run(write_bag(tmp_path / "bag", **changes))
    assert status == 2
    assert sentence in capsys.readouterr().err
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda bag: (bag / "metadata.yaml").unlink(), "was the recorder killed?"),
        (lambda bag: (bag / "bag.mcap").write_bytes(b"\x89MCAP"), "no readable bag"),
        (lambda bag: (bag / "bag.mcap").unlink(), "no readable bag"),
    ],
)
def test_a_damaged_bag_is_named(run, tmp_path, capsys, damage, sentence):
    bag = write_bag(tmp_path / "bag", seconds=1.0)
    damage(bag)
    status, _ = run(bag)
    assert status == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert str(bag) in said


def test_what_is_no_recording_is_refused(run, tmp_path, capsys):
    (tmp_path / "notes.txt").write_bytes(b"")
    assert run(tmp_path / "notes.txt")[0] == 2
    assert "notes.txt is no recording that can be imported" in capsys.readouterr().err
    assert run(tmp_path / "nowhere")[0] == 2
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("joints"), "the file lacks 'joints'"),
        (lambda s: s["topics"].pop("image"), "topics:"),
        (lambda s: s["topics"].update(images="x"), "topics:"),
        (lambda s: s["task"].pop("dt"), "task lacks 'dt'"),
        (lambda s: s["goal_words"].pop("red"), "goal_words lacks 'red'"),
        (lambda s: s["task"].update(action_limit=[1.0]), "1 numbers for 2 joints"),
        (lambda s: s.update(grid={"max_gap": 0}), "grid.max_gap is 0"),
        (lambda s: s.update(speed=3), "unknown field 'speed'"),
    ],
)
def test_wrong_settings_are_refused_by_the_name_of_the_field(
    run, tmp_path, settings, capsys, change, sentence
):
    content = yaml.safe_load(settings.read_text())
    change(content)
    settings.write_text(yaml.safe_dump(content))
    assert run(write_bag(tmp_path / "bag", seconds=0.1))[0] == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert str(settings) in said


@pytest.mark.parametrize("task", ["reach", "push"])
def test_the_shipped_settings_state_the_facts_of_the_simulated_task(task):
    pytest.importorskip("mujoco")
    from sdiwm_model.data.importers.settings import read_settings
    from sdiwm_sim.collect import episode_spec
    from sdiwm_sim.task import make_task

    settings = read_settings(share_file(f"config/import/{task}.yaml"))
    simulated = make_task(task)
    facts = dict(episode_spec(simulated).task)
    facts.pop("train_instructions")
    facts.pop("unrelated")
    facts.pop("imitate_from")  # of what `sdiwm collect` demonstrates
    assert dict(settings.task) == facts
    assert settings.joints == simulated.joint_names
    for goal, name in enumerate(simulated.goals):
        assert settings.goal_of(f"touch the {name} one") == goal
