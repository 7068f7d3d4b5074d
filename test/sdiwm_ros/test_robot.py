import copy

import numpy as np
import pytest
import yaml

pytest.importorskip("mujoco")
from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file
from sdiwm_model.shipped import bundle_folder
from sdiwm_ros.robot import ROBOT_OF_TASK, JointReader, load_robot, robot_of
from sdiwm_sim.task import make_task

REACH = yaml.safe_load(share_file("config/robots/reach_arm.yaml").read_text())


@pytest.fixture
def written(tmp_path):
    """`written(content)`: the robot that a file with this content describes."""

    def load(content):
        path = tmp_path / "arm.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_robot(str(path))

    return load


def changed(**changes):
    return copy.deepcopy(REACH) | changes


@pytest.mark.parametrize("task", ROBOT_OF_TASK)
def test_the_shipped_robots_are_those_of_the_simulator_and_of_the_models(task):
    robot, simulated = robot_of("", task), make_task(task)
    assert robot.joint_names == tuple(simulated.joint_names)
    np.testing.assert_allclose(robot.velocity, simulated.action_limit, rtol=1e-6)
    ranges = np.array([simulated.model.joint(name).range for name in robot.joint_names])
    np.testing.assert_allclose(np.stack([robot.lower, robot.upper], axis=1), ranges)
    robot.check_model(task, read_manifest(bundle_folder("", task)).sizes.action)


def test_a_new_arm_needs_a_file_and_no_python(written):
    joints = [{"name": "a", "lower": None, "upper": None, "velocity": 2, "acceleration": 9.5}]
    robot = written(changed(name="mine", joints=joints, safe_action=[0]))
    assert robot.joint_names == ("a",)
    assert robot.upper.tolist() == [np.inf]
    assert robot.lower.tolist() == [-np.inf]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("joints: [", "YAML"),
        ("just words", "the file must have the fields"),
        ({key: REACH[key] for key in REACH if key != "joints"}, "no field 'joints'"),
        (changed(gripper=True), "unknown field 'gripper'"),
        (changed(joints=[]), "joints must be a list"),
        (changed(joints=[REACH["joints"][0]] * 4), "each joint once"),
        (changed(joints=[REACH["joints"][0] | {"lower": 2.0}]), r"joints\[0\].lower 2.0"),
        (changed(joints=[REACH["joints"][0] | {"acceleration": 0}]), "acceleration must be above"),
        (changed(joints=[REACH["joints"][0] | {"velocity": "fast"}]), "velocity must be a number"),
        (changed(joints=[REACH["joints"][0] | {"velocity": float("nan")}]), "must be a number"),
        (changed(safe_action=[0.0]), "safe_action must list"),
        (changed(safe_action=[0.0, 0.0, 0.0, 2.0]), "beyond the velocity limit of wrist_pitch"),
        (changed(timeouts={"command": 1.0, "joint_states": 0.1}), "timeouts.command 1.0 s"),
        (changed(command_interface="effort"), "command_interface must be velocity"),
        (changed(actuation_latency=3), "actuation_latency 3.0 s"),
        (changed(camera_topic=""), "camera_topic must be a text"),
    ],
)
def test_a_description_that_is_wrong_is_refused_naming_file_and_field(written, content, words):
    with pytest.raises(SdiwmError, match=words) as refusal:
        written(content)
    assert "arm.yaml" in str(refusal.value)


def test_an_unknown_robot_or_task_is_refused_with_those_there_are():
    with pytest.raises(SdiwmError, match="push_finger, reach_arm"):
        load_robot("spot")
    with pytest.raises(SdiwmError, match="juggle"):
        robot_of("", "juggle")


def test_a_model_of_another_number_of_joints_is_refused():
    with pytest.raises(SdiwmError, match="2 joints"):
        load_robot("reach_arm").check_model("push", 2)


def test_joints_are_found_by_name_in_any_order_and_among_others():
    reader = JointReader(load_robot("reach_arm"))
    names = ["gripper", "wrist_pitch", "elbow_pitch", "base_yaw", "shoulder_pitch"]
    read = reader.read(names, [9.0, 3.0, 2.0, 0.0, 1.0], [-9.0, -3.0, -2.0, 0.0, -1.0])
    assert read.tolist() == [0.0, 1.0, 2.0, 3.0, 0.0, -1.0, -2.0, -3.0]
    assert read.dtype == np.float32
    assert reader.read(names[::-1], [1.0, 0.0, 2.0, 3.0, 9.0], [0.0] * 5)[:4].tolist() == [
        0.0, 1.0, 2.0, 3.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "positions", "velocities", "words"),
    [
        (["base_yaw"], [0.0], [0.0], "no joint 'shoulder_pitch'"),
        ([], [], [], "no joint 'base_yaw'"),
        (["base_yaw"], [0.0], [], "0 velocities"),
        (["base_yaw"], [0.0, 1.0], [0.0, 1.0], "1 names"),
    ],
)
def test_joint_states_without_the_robots_joints_are_refused(names, positions, velocities, words):
    with pytest.raises(SdiwmError, match=words):
        JointReader(load_robot("reach_arm")).read(names, positions, velocities)
