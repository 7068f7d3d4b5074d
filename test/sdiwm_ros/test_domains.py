"""Graphs on one host never share a ROS domain by accident; which threads the middleware starts."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy")
from sdiwm_model.errors import SdiwmError
from sdiwm_ros import graph

LISTEN = """
import rclpy
rclpy.init()
node = rclpy.create_node("listener")
print("up", flush=True)
input()
"""


def test_a_domain_in_which_a_node_listens_is_not_free():
    environment = graph.private_environment()
    domain = int(environment["ROS_DOMAIN_ID"])
    graph._reserved.pop().close()
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTEN], env=environment, stdin=-1, stdout=-1, text=True
    )
    try:
        assert listener.stdout.readline() == "up\n"
        assert domain not in {graph.free_domain() for _ in range(300)}
    finally:
        listener.communicate("\n")


def test_a_domain_given_to_a_graph_that_still_starts_is_not_given_again():
    code = "from sdiwm_ros.graph import free_domain; print(free_domain(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    try:
        domain = int(other.stdout.readline())
        assert domain not in {graph.free_domain() for _ in range(300)}
    finally:
        other.communicate("\n")


def test_where_every_domain_is_taken_it_is_said(monkeypatch):
    monkeypatch.setattr(graph, "_bound", lambda port: None)
    with pytest.raises(SdiwmError, match="every ROS domain"):
        graph.free_domain()


@pytest.mark.parametrize(
    "environment",
    [graph.private_environment, lambda: private("LOCALHOST"), lambda: private("SUBNET")],
    ids=["private", "localhost", "subnet"],
)
def test_a_node_has_no_thread_for_shared_memory_or_descriptions_of_types(environment):
    """With the first, a participant that joins holds back the data of running nodes for 333 ms;
    with the second, a process that leaves while others join may crash."""
    code = (
        "import os, rclpy; rclpy.init(); node = rclpy.create_node('node');"
        "print(*(open(f'/proc/self/task/{t}/comm').read() for t in os.listdir('/proc/self/task')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert "dds.udp" in done.stdout
    assert "dds.shm" not in done.stdout
    assert "dds.tls" not in done.stdout


def private(discovery):
    """The environment of a node that is launched from a shell with this range of discovery."""
    shell = graph.private_environment() | {"ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
    del shell["FASTDDS_DEFAULT_PROFILES_FILE"]
    return shell | graph.middleware_environment(shell)
