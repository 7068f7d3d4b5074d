"""control.launch.py on the real launch API; `launch_ros` comes with ROS 2 itself, not from PyPI."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed: it comes with ROS 2 itself")
from launch.actions import DeclareLaunchArgument

from launch import LaunchContext
from sdiwm_model.share import share_file
from sdiwm_ros.configuration import NODES


@pytest.fixture
def control(monkeypatch):
    path = share_file("launch/control.launch.py")
    specification = importlib.util.spec_from_file_location("control_launch", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    share = str(Path(path).parent.parent)
    monkeypatch.setattr(module, "get_package_share_directory", lambda package: share)
    return module


def make_nodes(control, **given):
    context = LaunchContext()
    for entity in control.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations[entity.name] = given.pop(entity.name, None) or (
                entity.default_value[0].text if entity.default_value else ""
            )
    assert not given, f"not declared: {given}"
    return control.make_nodes(context)


def test_it_offers_the_arguments_that_the_readme_names(control):
    declared = {
        entity.name
        for entity in control.generate_launch_description().entities
        if isinstance(entity, DeclareLaunchArgument)
    }
    assert {"task", "backend", "instruction", "headless", "model", "config"} <= declared


def test_it_starts_the_four_nodes_by_their_executables(control):
    executables = {node.node_executable for node in make_nodes(control)}
    assert executables == {f"{node}_node" for node in NODES}


def test_every_argument_names_parameters_that_exist(control):
    from sdiwm_ros.parameters import PARAMETERS

    for name, (nodes, _, description) in control.ARGUMENTS.items():
        assert description
        assert all(name.removeprefix(f"{node}_") in PARAMETERS[node] for node in nodes), name


@pytest.mark.parametrize("wrong", [{"headless": "perhaps"}, {"episodes": "many"}])
def test_an_argument_of_the_wrong_type_is_refused_in_words(control, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_nodes(control, **wrong)


def test_the_planner_alone_can_run_on_a_microcontroller(control, monkeypatch):
    monkeypatch.setattr(control, "Node", lambda **given: given)
    nodes = make_nodes(control, backend="onnx", planner_backend="mcu", mcu_port="/dev/ttyACM0")
    changed = {node["name"]: node["parameters"][-1] for node in nodes}
    assert changed["observer"] == {"backend": "onnx"}
    assert changed["planner"] == {"backend": "mcu", "mcu_port": "/dev/ttyACM0"}
