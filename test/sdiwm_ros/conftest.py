"""Graphs of real nodes in real processes, each in a ROS domain of its own."""

import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("scripted_node.py")


def scripted_command(node, parameter_file):
    """As `sdiwm_ros.graph.node_command`, with the scripted model in place of a bundle."""
    from sdiwm_ros.graph import node_command

    command = node_command(node, parameter_file)
    module = command.index("-m")
    return [*command[:module], str(SCRIPT), node, *command[module + 3 :]]


@pytest.fixture
def scripted(monkeypatch):
    """Every graph of this test runs on the scripted model."""
    monkeypatch.setattr("sdiwm_ros.graph.Graph.command", staticmethod(scripted_command))


@pytest.fixture
def until():
    """`until(monitor, condition, seconds)`: spin until the condition holds, or fail."""

    def wait(monitor, condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; {monitor.health}"
            monitor.spin(0.01)

    return wait
