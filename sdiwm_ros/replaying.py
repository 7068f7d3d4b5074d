"""One replay of a bag from start to end."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sdiwm_ros.graph import private_environment
from sdiwm_ros.models import check_named
from sdiwm_ros.replay import NODES, Replay, ReplayGraph
from sdiwm_ros.replay_schedule import BagTopics, Schedule
from sdiwm_ros.robot import robot_of


@dataclass(frozen=True)
class ReplaySettings:
    """What to replay, and with what: see `sdiwm replay --help`."""

    bag: Path
    task: str
    backend: str
    model: str
    robot: str
    seed: int
    namespace: str

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The nodes' parameters: the deterministic mode."""
        shared = {"task": self.task, "model": self.model, "backend": self.backend,
                  "use_sim_time": True}  # fmt: skip
        nodes: dict[str, dict[str, Any]] = {node: dict(shared) for node in NODES}
        nodes["language_goal"]["interval"] = 0.0
        nodes["observer"]["robot"] = self.robot
        nodes["planner"] |= {"robot": self.robot, "seed": self.seed}
        nodes["planner"] |= {
            "latency_compensation": False,
            "imagined_path_rate": 0.0,
            "wam_asynchronous": False,
        }
        return nodes


def replay(settings: ReplaySettings) -> dict[str, Any]:
    """Run; `plans` as [stamp ns, CRC-32], their `digest`, and how they compare with the bag's.

    Raises:
        SdiwmError: the bag or the model is missing or damaged, or a node ended; in its words.
    """
    check_named(settings.backend, settings.model, settings.task)
    robot = robot_of(settings.robot, settings.task)
    topics = BagTopics.within(settings.namespace, robot.camera_topic, robot.joint_states_topic)
    schedule = Schedule(settings.bag, topics)
    environment = private_environment()
    with tempfile.TemporaryDirectory(prefix="sdiwm-replay-") as logs:
        graph = ReplayGraph(settings.parameters(), environment, Path(logs), NODES)
        with (
            graph,
            Replay(environment, BagTopics.within("", robot.camera_topic, robot.joint_states_topic),
                   graph) as player,
            tqdm(unit="step", desc="replay", disable=None) as bar,
        ):  # fmt: skip
            outcome = player.run(schedule.steps(), lambda step: bar.update(1))
    return {
        "plans": outcome.plans,
        "digest": outcome.digest,
        "refused": outcome.refused,
        "same": outcome.same,
        "different": outcome.different,
        "objection": schedule.recorded.objection,
    }
