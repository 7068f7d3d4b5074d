"""The planner with the test as its microcontroller, and the bridge with the real firmware."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float32MultiArray, Float64MultiArray

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.shipped import bundle_folder
from sdiwm_ros.diagnostics import Level
from sdiwm_ros.graph import Graph, private_environment
from sdiwm_ros.messages import (
    chip_plan_message,
    goal_message,
    latent_message,
    read_chip_plan,
    read_command,
)
from sdiwm_ros.monitor import Monitor
from sdiwm_ros.process import LATCHED, NEWEST
from sdiwm_ros.signals import ChipPlan, CommandKind, Goal, Latent, now_ns

ALL = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, depth=100)
HOST, CHIP = 0.4, 0.9  # what each of them makes the first joint do
GOAL = Goal(np.full(16, HOST, np.float32), "touch the red target")
PATIENT = {"mcu_timeout": 0.3, "mcu_recovery": 0.5, "plan_source": "mcu"}


class Observations(Monitor):
    """Latents a hundred times a second, a goal, and a chip that plans while `chip_plans`."""

    def __enter__(self):
        super().__enter__()
        self.chip_plans, self.commands, self.plans, self.stamps = True, [], [], []
        node = self._node
        self._latents = node.create_publisher(Float32MultiArray, "latent", NEWEST)
        self._chip = node.create_publisher(Float32MultiArray, "mcu/plan", NEWEST)
        self._goal = node.create_publisher(Float32MultiArray, "goal", LATCHED)
        self._goal.publish(goal_message(GOAL))
        listen = node.create_subscription
        heard = lambda message: self.commands.append(read_command(message))  # noqa: E731
        listen(Float64MultiArray, "planner/command", heard, ALL)
        node.create_timer(0.01, self._observe)
        return self

    def _observe(self):
        stamp = now_ns()
        self.stamps.append(stamp)
        self._latents.publish(latent_message(Latent(np.zeros(32, np.float32), stamp)))
        if self.chip_plans:
            actions = np.zeros((12, 4), np.float32)
            actions[:, 0] = CHIP
            plan = ChipPlan(actions, stamp, stamp, GOAL.fingerprint)
            self._chip.publish(chip_plan_message(plan))

    def listen_to_plans(self):
        heard = lambda message: self.plans.append(read_chip_plan(message, 4))  # noqa: E731
        self.chip_plans = False
        self._node.create_subscription(Float32MultiArray, "mcu/plan", heard, ALL)

    def follows(self, speed):
        last = self.commands[-1] if self.commands else None
        return last and last.kind is CommandKind.PLAN and last.velocity[0] == pytest.approx(speed)


def test_the_chip_is_followed_the_host_takes_over_without_a_stop_and_gives_back(
    scripted, until, tmp_path
):
    environment = private_environment()
    graph = Graph({"planner": PATIENT}, environment, tmp_path, ["planner"])
    with graph, Observations(environment) as world:
        until(world, lambda: world.follows(CHIP))
        world.commands.clear()
        world.chip_plans = False
        until(world, lambda: world.follows(HOST))
        until(world, lambda: "this host does" in world.health_of("planner").message)
        assert world.health_of("planner").level is Level.WARN
        world.chip_plans = True
        until(world, lambda: world.follows(CHIP))
        until(world, lambda: world.health_of("planner").level is Level.OK)
        assert world.health_of("planner").values["mcu_takeovers"] == "1"


def test_where_the_host_may_not_take_over_a_stop_is_asked_for(scripted, until, tmp_path):
    environment = private_environment()
    parameters = {"planner": PATIENT | {"on_mcu_loss": "safe"}}
    with (
        Graph(parameters, environment, tmp_path, ["planner"]),
        Observations(environment) as world,
    ):
        until(world, lambda: world.follows(CHIP))
        world.chip_plans = False
        until(world, lambda: world.commands[-1].kind is CommandKind.SAFE)
        until(world, lambda: "does not plan" in world.health_of("planner").message)
        world.chip_plans = True
        until(world, lambda: world.follows(CHIP))


def test_the_bridge_brings_the_plans_of_the_firmware(until, tmp_path):
    pytest.importorskip("onnxruntime")
    environment = private_environment()
    graph = Graph({"mcu_bridge": {"port": "sil"}}, environment, tmp_path, ["mcu_bridge"])
    with graph, Observations(environment) as world:
        world.listen_to_plans()
        until(world, lambda: len(world.plans) > 20, 120.0)
        until(world, lambda: "microcontroller" in world.health_of("mcu_bridge").message)
        until(world, lambda: int(world.health_of("mcu_bridge").values["link_answered"]) > 20)
        plan, asked = world.plans[-1], time.time_ns()
        health = world.health_of("mcu_bridge")
    manifest = read_manifest(bundle_folder("", "reach"))
    assert plan.actions.shape[1] == manifest.sizes.action
    assert np.abs(plan.actions).max() <= 1.0
    assert plan.stamp_ns in world.stamps
    assert plan.goal == GOAL.fingerprint
    assert asked - plan.stamp_ns < 10**9
    assert health.values["board"] == "host"
