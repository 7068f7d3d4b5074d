"""The whole loop on one robot: `ros2 launch sdiwm_ros control.launch.py headless:=true`.

Arguments cover what changes from one start to the next; everything else is in the `config` file.
An argument left empty leaves the file's value as it is. When one node ends, all do; each leaves
the robot safe before it does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from sdiwm_model.runtime.protocols import WAM_BACKENDS
from sdiwm_model.share import share_file
from sdiwm_ros.configuration import NODES, OPTIONAL_NODES, read_parameters
from sdiwm_ros.graph import middleware_environment

PACKAGE = "sdiwm_ros"
MODEL_NODES = ("observer", "language_goal", "planner", "mcu_bridge")
ROBOT_NODES = ("observer", "planner", "guard", "mcu_bridge")
EVERY_NODE = (*NODES, *OPTIONAL_NODES)

# argument: (nodes whose parameter of that name it sets, type, description); later ones win
ARGUMENTS: dict[str, tuple[tuple[str, ...], type, str]] = {
    "task": ((*NODES, "mcu_bridge"), str, "simulated task, and whose shipped model is loaded"),
    "robot": (ROBOT_NODES, str, "robot of config/robots, or the path of such a file"),
    "backend": (MODEL_NODES, str, "torch, onnx, native, wam or wam+mppi"),
    "model": (MODEL_NODES, str, "bundle folder, instead of the one shipped for the task"),
    "instruction": (("simulator",), str, "said at the start of every episode, in words"),
    "headless": (("simulator",), bool, "true: no window; false: MuJoCo's viewer"),
    "episodes": (("simulator",), int, "episodes until the arm rests; 0: until interrupted"),
    "seed": (("simulator", "planner", "mcu_bridge"), int, "of the episodes and of the planner"),
    "record_to": (("simulator", "planner"), str, "folder for figures of the run"),
    "dry_run": (("guard",), bool, "true: nothing is sent to the controller"),
    "autostart": (EVERY_NODE, bool, "false: nodes wait for a lifecycle manager"),
    "use_sim_time": (EVERY_NODE, bool, "true: the simulator's clock is everybody's"),
}
# what is started, and under which name
SELECTION: dict[str, tuple[str, str]] = {
    "namespace": ("", "of every node and topic, for more than one robot on a host"),
    "simulator": ("true", "false: a real robot or another simulator is there"),
    "planner_backend": ("", "of the planner alone, with the latents for it; mcu: an emulated chip"),
    "mcu": ("", "what plans instead of this host: a serial port, sil or pil (empty: this host)"),
    "record": ("", "folder for bags of everything that is said (empty: none)"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the nodes are made once their values are known."""
    arguments = [
        DeclareLaunchArgument(
            "config",
            default_value=str(share_file("config/control.yaml")),
            description="YAML file of the parameters that it changes, of any node",
        )
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in SELECTION.items()
    ]
    arguments += [
        DeclareLaunchArgument(
            name, default_value="", description=f"{description} (empty: as in config)"
        )
        for name, (_, _, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """The nodes that are asked for, with the config file's parameters and the arguments'."""
    given = {name: LaunchConfiguration(name).perform(context) for name in SELECTION}
    config = Path(LaunchConfiguration("config").perform(context))
    changes = read_arguments(context)
    nodes = list(NODES if parse("simulator", given["simulator"], bool) else NODES[1:])
    if given["planner_backend"] == "mcu":
        given["mcu"] = given["mcu"] or "pil"
    elif given["planner_backend"]:
        changes["planner"]["backend"] = given["planner_backend"]
        if given["planner_backend"] in WAM_BACKENDS:  # its latents are longer
            changes["observer"]["backend"] = given["planner_backend"]
    if given["mcu"]:
        nodes.append("mcu_bridge")
        changes["mcu_bridge"]["port"] = given["mcu"]
        changes["planner"]["plan_source"] = "mcu"
    if given["record"]:
        nodes.append("recorder")
        changes["recorder"]["record_to"] = given["record"]
    return [
        Node(
            package=PACKAGE,
            executable=f"{node}_node",
            name=node,
            namespace=given["namespace"],
            parameters=[as_parameters(read_parameters(config, node) | changes[node])],
            additional_env={"OMP_NUM_THREADS": "1"} | middleware_environment(os.environ),
            output="screen",
            on_exit=Shutdown(reason=f"node {node} ended"),
        )
        for node in nodes
    ]


def read_arguments(context: LaunchContext) -> dict[str, dict[str, Any]]:
    """The parameters of every node that the arguments set."""
    changes: dict[str, dict[str, Any]] = {node: {} for node in EVERY_NODE}
    for name, (nodes, kind, _) in ARGUMENTS.items():
        text = LaunchConfiguration(name).perform(context)
        if text:
            for node in nodes:
                changes[node][name.removeprefix(f"{node}_")] = parse(name, text, kind)
    if changes["simulator"].get("use_sim_time"):
        changes["simulator"]["publish_clock"] = True
    return changes


def as_parameters(values: dict[str, Any]) -> dict[str, ParameterValue]:
    """With their types: text such as "" or "7" must stay text."""
    return {key: ParameterValue(value, value_type=type(value)) for key, value in values.items()}


def parse(name: str, text: str, kind: type) -> str | bool | int:
    """The value of an argument; ValueError in words where it is not of its type."""
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"launch argument {name}:={text} must be true or false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"launch argument {name}:={text} must be a whole number") from None
