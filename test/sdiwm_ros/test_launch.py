"""control.launch.py on the real launch API; `launch_ros` comes with ROS 2 itself, not from PyPI."""

import importlib.util

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed: it comes with ROS 2 itself")
from launch.actions import DeclareLaunchArgument

from launch import LaunchContext
from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file
from sdiwm_ros.configuration import NODES


@pytest.fixture
def control():
    path = share_file("launch/control.launch.py")
    specification = importlib.util.spec_from_file_location("control_launch", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
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


def executables(nodes):
    return [node.node_executable.removesuffix("_node") for node in nodes]


def described(control, monkeypatch, **given):
    """What the nodes are made with, by name."""
    monkeypatch.setattr(control, "Node", lambda **given: given)
    nodes = {}
    for node in make_nodes(control, **given):
        values = {key: value.value for key, value in node["parameters"][0].items()}
        nodes[node["name"]] = node | {"parameters": values}
    return nodes


def test_it_offers_the_arguments_that_the_readme_names(control):
    declared = {
        entity.name
        for entity in control.generate_launch_description().entities
        if isinstance(entity, DeclareLaunchArgument)
    }
    assert {"task", "backend", "instruction", "headless", "model", "config"} <= declared


def test_it_starts_every_node_of_the_loop_by_its_executable(control):
    assert executables(make_nodes(control)) == list(NODES)


def test_beside_a_real_arm_no_simulator_is_started_and_bags_are_made_where_asked(control, tmp_path):
    nodes = make_nodes(control, simulator="false", record=str(tmp_path))
    assert executables(nodes) == [*(node for node in NODES if node != "simulator"), "recorder"]


def test_every_argument_names_parameters_that_exist(control):
    from sdiwm_ros.parameters import specifications_of

    for name, (nodes, _, description) in control.ARGUMENTS.items():
        assert description
        for node in nodes:
            assert name == "use_sim_time" or name.removeprefix(f"{node}_") in specifications_of(
                node
            ), name


def test_a_config_file_reaches_the_nodes_in_any_namespace(control, monkeypatch, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text(
        "/**: {ros__parameters: {cpus: '0'}}\nplanner: {ros__parameters: {seed: 7, model: ''}}\n"
    )
    nodes = described(control, monkeypatch, config=str(config), namespace="left", task="push")
    assert {node["namespace"] for node in nodes.values()} == {"left"}
    assert nodes["planner"]["parameters"] == {"cpus": "0", "seed": 7, "model": "", "task": "push"}
    assert nodes["observer"]["parameters"] == {"cpus": "0", "task": "push"}


def test_a_config_file_that_is_none_is_refused_in_words(control, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("planner: 7")
    with pytest.raises(SdiwmError, match=r"mine\.yaml: no ROS 2 parameter file"):
        make_nodes(control, config=str(config))


def test_with_simulated_time_the_simulator_is_the_clock(control, monkeypatch):
    nodes = described(control, monkeypatch, use_sim_time="true")
    assert all(node["parameters"]["use_sim_time"] for node in nodes.values())
    assert [name for name in nodes if "publish_clock" in nodes[name]["parameters"]] == ["simulator"]


@pytest.mark.parametrize(
    "wrong", [{"headless": "perhaps"}, {"episodes": "many"}, {"simulator": "no"}]
)
def test_an_argument_of_the_wrong_type_is_refused_in_words(control, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_nodes(control, **wrong)


def test_the_planner_alone_can_have_another_back_end(control, monkeypatch):
    nodes = described(control, monkeypatch, backend="onnx", planner_backend="native")
    assert nodes["observer"]["parameters"]["backend"] == "onnx"
    assert nodes["planner"]["parameters"]["backend"] == "native"


@pytest.mark.parametrize("backend", ["wam", "wam+mppi"])
def test_a_planner_of_chunks_gets_their_latents_from_the_observer(control, monkeypatch, backend):
    before = described(control, monkeypatch)
    nodes = described(control, monkeypatch, planner_backend=backend)
    assert nodes["observer"]["parameters"]["backend"] == backend
    assert nodes["planner"]["parameters"]["backend"] == backend
    assert nodes["language_goal"]["parameters"] == before["language_goal"]["parameters"]


def test_a_microcontroller_plans_where_one_is_named(control, monkeypatch):
    nodes = described(control, monkeypatch, mcu="/dev/ttyACM0")
    assert nodes["mcu_bridge"]["parameters"]["port"] == "/dev/ttyACM0"
    assert nodes["planner"]["parameters"]["plan_source"] == "mcu"
    assert "mcu_bridge" not in described(control, monkeypatch)


def test_a_planner_whose_back_end_is_a_microcontroller_has_an_emulated_one(control, monkeypatch):
    nodes = described(control, monkeypatch, backend="onnx", planner_backend="mcu")
    assert nodes["mcu_bridge"]["parameters"]["port"] == "pil"
    planner = nodes["planner"]["parameters"]
    assert (planner["plan_source"], planner["backend"]) == ("mcu", "onnx")


def test_what_concerns_several_nodes_reaches_every_node_that_has_it(control):
    from sdiwm_ros.parameters import PARAMETERS

    for name in ("task", "model", "robot", "backend"):
        nodes = control.ARGUMENTS[name][0]
        assert set(nodes) == {node for node in PARAMETERS if name in PARAMETERS[node]}, name
