"""The whole loop on a simulated arm: `ros2 launch sdiwm_ros control.launch.py headless:=true`.

Arguments cover what changes from one start to the next; everything else is in the `config` file.
An argument left empty leaves the file's value as it is. When one node ends, all do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

PACKAGE = "sdiwm_ros"
MODEL_NODES = ("observer", "language_goal", "planner")
ALL_NODES = ("simulator", *MODEL_NODES)

# argument: (nodes whose parameter of that name it sets, type, description); later ones win
ARGUMENTS: dict[str, tuple[tuple[str, ...], type, str]] = {
    "task": (ALL_NODES, str, "simulated task, and whose shipped model is loaded"),
    "backend": (MODEL_NODES, str, "what executes the model: torch, onnx or native"),
    "planner_backend": (("planner",), str, "the same for the planner alone, as in mcu"),
    "mcu_port": (("planner",), str, "serial port of the microcontroller, for planner_backend:=mcu"),
    "model": (MODEL_NODES, str, "bundle folder, instead of the one shipped for the task"),
    "instruction": (("simulator",), str, "said at the start of every episode, in words"),
    "headless": (("simulator",), bool, "true: no window; false: MuJoCo's viewer"),
    "episodes": (("simulator",), int, "episodes until the arm rests; 0: until interrupted"),
    "seed": (("simulator", "planner"), int, "of the episodes and of the planner"),
    "record_to": (("simulator", "planner"), str, "folder for a record of the run"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the nodes are made once their values are known."""
    config = Path(get_package_share_directory(PACKAGE)) / "config" / "control.yaml"
    arguments = [
        DeclareLaunchArgument(
            "config", default_value=str(config), description="YAML file of every node's parameters"
        )
    ]
    arguments += [
        DeclareLaunchArgument(
            name, default_value="", description=f"{description} (empty: as in config)"
        )
        for name, (_, _, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=make_nodes)])


def make_nodes(context: LaunchContext) -> list[Node]:
    """The four nodes, each with the config file and the arguments that were given."""
    config = LaunchConfiguration("config").perform(context)
    changes: dict[str, dict[str, Any]] = {node: {} for node in ALL_NODES}
    for name, (nodes, kind, _) in ARGUMENTS.items():
        text = LaunchConfiguration(name).perform(context)
        if text:
            for node in nodes:
                changes[node][name.removeprefix(f"{node}_")] = parse(name, text, kind)
    return [
        Node(
            package=PACKAGE,
            executable=f"{node}_node",
            name=node,
            parameters=[config, changes[node]] if changes[node] else [config],
            additional_env={"OMP_NUM_THREADS": "1"} | middleware_environment(),
            output="screen",
            on_exit=Shutdown(reason=f"node {node} ended"),
        )
        for node in ALL_NODES
    ]


def middleware_environment() -> dict[str, str]:
    """The package's Fast DDS settings (config/fastdds.xml says why), unless others are set."""
    if "FASTDDS_DEFAULT_PROFILES_FILE" in os.environ:
        return {}
    profiles = Path(get_package_share_directory(PACKAGE)) / "config" / "fastdds.xml"
    return {"FASTDDS_DEFAULT_PROFILES_FILE": str(profiles)}


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
