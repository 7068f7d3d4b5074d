"""More than one robot on a host, simulated time, and a flood of instructions."""

import json
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from rosgraph_msgs.msg import Clock

from sdiwm_ros.configuration import NODES
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import NEWEST
from sdiwm_ros.recording import load_run
from sdiwm_ros.signals import CommandKind

MOVING = "touch the red target"


def recorded(folder, **simulator):
    record = {"record_to": str(folder)}
    return {"simulator": record | {"instruction": MOVING} | simulator, "planner": record}


def is_simulating(monitor, full_name="simulator"):
    return full_name in monitor.health and monitor.health[full_name].message == "simulating"


def test_two_robots_on_one_host_do_not_hear_each_other(scripted, until, tmp_path):
    environment = private_environment()
    left, right = tmp_path / "left", tmp_path / "right"
    with (
        Graph(recorded(left), environment, left, namespace="/left"),
        Graph(recorded(right, instruction="touch the green target"), environment, right,
              namespace="/right"),
        Monitor(environment, "/left") as monitor,
    ):  # fmt: skip
        until(monitor, lambda: is_simulating(monitor, "left/simulator"))
        until(monitor, lambda: is_simulating(monitor, "right/simulator"))
        assert set(monitor.instructions) == {MOVING}
    # The scripted model moves the first joint forwards for red and backwards for green.
    assert (load_run(left).actions[:, 0] >= 0).all()
    assert (load_run(right).actions[:, 0] <= 0).all()
    assert load_run(left).actions.any()
    assert load_run(right).actions.any()


def test_with_simulated_time_the_whole_graph_lives_on_the_simulators_clock(
    scripted, until, tmp_path
):
    environment = private_environment()
    given = recorded(tmp_path, publish_clock=True)
    for node in NODES:
        given[node] = given.get(node, {}) | {"use_sim_time": True}
    with Graph(given, environment, tmp_path), Monitor(environment) as monitor:
        ticks = []
        monitor._node.create_subscription(Clock, "/clock", ticks.append, NEWEST)
        until(monitor, lambda: ticks and ticks[-1].clock.sec > 0 and is_simulating(monitor))
        assert "clock_jumps" not in monitor.health_of("observer").message
        assert ticks[-1].clock.sec < 60
    plans = load_run(tmp_path).of_kind(CommandKind.PLAN)
    assert len(plans) > 20
    assert 0 < plans[:, 1].min() <= plans[:, 1].max() < 60e9
    assert (plans[:, 0] >= plans[:, 1]).all()


def test_a_flood_of_instructions_costs_no_plan_and_the_last_one_is_obeyed(
    scripted, until, tmp_path
):
    environment = private_environment()
    colours = ("green", "blue", "yellow")
    with Graph(recorded(tmp_path), environment, tmp_path) as graph, Monitor(environment) as monitor:
        until(monitor, lambda: is_simulating(monitor))
        flooded = time.time_ns()
        for index in range(1000):
            monitor.say(f"touch the {colours[index % 3]} target for the {index}th time")
            monitor.spin(0.001)
        last = monitor.say("touch the blue target at last")
        until(monitor, lambda: "at last" in str(monitor.health_of("language_goal").values))
        graph.check()
        monitor.spin(0.3)  # the simulator, too, may let 0.1 s pass between two
        values = monitor.health_of("language_goal").values
        assert int(values["skipped_instructions"]) > 50
        most = 10 * (time.time_ns() - flooded) * 1e-9 + 5  # one in 0.1 s, and those before
        assert int(values["instructions"]) < most
    run = load_run(tmp_path)
    during = run.of_kind(CommandKind.PLAN)
    during = during[(during[:, 0] > flooded) & (during[:, 0] < last)]
    assert len(during) / ((last - flooded) * 1e-9) > 100  # Hz
    changes = [change for episode in run.episodes for change in episode.changes]
    assert len(changes) < most
    assert json.dumps(changes[-1]).endswith('at last"]')
