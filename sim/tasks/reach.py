"""Task `reach`: touch the coloured puck that the instruction names.

A four-joint arm stands at the edge of a table with four coloured, domed pucks at random places. The
action is a joint velocity scaled to [-1, 1]. The goal point of a puck lies 1 cm above it, plus
the fingertip's radius. Success: the fingertip stays within 2.5 cm of the named puck's goal point
for 0.3 s, within 6 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import mujoco
import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.rendering import Camera, project
from sdiwm_sim.task import Array, Outcome, StateGroup
from sdiwm_sim.tasks import instructions
from sdiwm_sim.tasks.targets import TargetWatch
from sdiwm_sim.tasks.ticks import set_tick

SUCCESS_RADIUS = 0.025  # m
ARRIVED = 0.03  # m
HOLD_TIME = 0.3  # s
PUCK_TOP = 0.01  # m
GOAL_HEIGHT = PUCK_TOP + 0.02  # m: 1 cm of air below a fingertip of 1 cm radius
PUCK_RADIUS_RANGE = (0.18, 0.38)  # m from the base
PUCK_ANGLE_RANGE = (-0.95, 0.95)  # rad
PUCK_SPACING = 0.095  # m between centres
HOME = np.array([0.0, 1.25, -1.75, -0.6])
HOME_SPREAD = np.array([1.1, 0.35, 0.45, 0.5])
LINKS = (0.2, 0.2, 0.08)  # m: upper arm, forearm, hand
SHOULDER_HEIGHT = 0.12  # m
HAND_PITCH_RANGE = (-2.0, -0.7)  # rad: the expert's hand points down, more or less
EXPERT_GAIN = 6.0  # 1/s


class ReachTask:
    """See the module's docstring; the `Task` protocol states the methods."""

    name: str = "reach"
    joint_names: tuple[str, ...] = ("base_yaw", "shoulder_pitch", "elbow_pitch", "wrist_pitch")
    goals: tuple[str, ...] = ("red", "green", "blue", "yellow")
    physics_dt = 0.005
    ticks_per_step = 8
    control_ticks = 1
    camera_period = 1 / 30
    cameras: tuple[str, ...] = ("front",)
    cost_unit = 0.1  # m
    goal_modality: str = "words"
    episode_return = False
    time_limit = 6.0
    state_groups: tuple[StateGroup, ...] = (
        StateGroup("fingertip", "m", 0, 1, 3),
        StateGroup("joints", "rad", 3, 4, 1),
        StateGroup("pucks", "m", 7, 4, 2),
    )
    position_coordinates = 12

    def __init__(self) -> None:
        xml = files("sdiwm_sim").joinpath("assets/reach.xml").read_text()
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self.action_limit: Array = self.model.actuator_ctrlrange[:, 1].astype(np.float32)
        self._tip = self.model.site("fingertip").id
        self._cameras: dict[int, list[Camera]] = {}
        self._goal: int | None = None
        self._instruction = ""
        self.reset(0)

    @property
    def instruction(self) -> str:
        return self._instruction

    @property
    def goal(self) -> int | None:
        return self._goal

    @property
    def time(self) -> float:
        return float(self.data.time)

    def set_tick(self, physics_dt: float) -> None:
        set_tick(self, physics_dt)

    def reset(self, seed: int, goal: int | None = None, instruction: str | None = None) -> None:
        rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.mocap_pos[:] = _place_pucks(rng, len(self.goals))
        self._hand_pitch = rng.uniform(*HAND_PITCH_RANGE)
        self._place_arm(rng)
        chosen = int(rng.integers(len(self.goals))) if goal is None else goal
        sentences = self.train_instructions(chosen)
        drawn = sentences[int(rng.integers(len(sentences)))]
        self.set_goal(chosen, drawn if instruction is None else instruction)

    def _place_arm(self, rng: np.random.Generator) -> None:
        """A random pose with the hand clear of the table and of every puck."""
        low, high = self.model.jnt_range.T
        for _ in range(1000):
            pose = np.clip(HOME + HOME_SPREAD * rng.uniform(-1, 1, 4), low, high)
            self.data.qpos[:] = pose
            mujoco.mj_forward(self.model, self.data)
            if self.data.ncon == 0 and self.fingertip()[2] > 0.04:
                return
        raise SdiwmError("task reach: no free arm pose found; the layout constants contradict")

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None:
        self._goal = goal
        if instruction is not None:
            self._instruction = instruction
        self._watch = TargetWatch(len(self.goals), goal, HOLD_TIME)

    def step(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (4,) or not np.isfinite(action).all():
            raise SdiwmError(
                f"task reach: an action must be 4 finite numbers in [-1, 1], got {action!r}"
            )
        self.data.ctrl[:] = np.clip(action, -1, 1) * self.action_limit
        mujoco.mj_step(self.model, self.data)
        self._watch.update(self.goal_costs() < SUCCESS_RADIUS, self.physics_dt, self.time)

    def outcome(self) -> Outcome:
        return self._watch.outcome()

    def train_instructions(self, goal: int) -> Sequence[str]:
        return _train_instructions(goal)

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        return instructions.heldout_instructions(goal)

    def unrelated_instructions(self) -> Sequence[str]:
        return instructions.unrelated_instructions()

    def proprio(self) -> Array:
        return np.concatenate([self.data.qpos, self.data.qvel]).astype(np.float32)

    def fingertip(self) -> Array:
        return self.data.site_xpos[self._tip].astype(np.float32)

    def goal_points(self) -> Array:
        """Goal point of each puck, (4, 3) m."""
        points = self.data.mocap_pos.astype(np.float32)
        points[:, 2] = GOAL_HEIGHT
        return points

    def goal_costs(self) -> Array:
        """Metres from the fingertip to the goal point of each puck, (4,)."""
        return np.linalg.norm(self.goal_points() - self.fingertip(), axis=1).astype(np.float32)

    def state(self) -> Array:
        """Fingertip xyz (m), joints (rad), xy of each puck (m): (15,)."""
        pucks = self.data.mocap_pos[:, :2].ravel()
        return np.concatenate([self.fingertip(), self.data.qpos, pucks]).astype(np.float32)

    def render(self, size: int = 64) -> NDArray[np.uint8]:
        return self._picture(self.data, size)

    def _picture(self, data: mujoco.MjData, size: int) -> NDArray[np.uint8]:
        if size not in self._cameras:
            self._cameras[size] = [Camera(self.model, name, size) for name in self.cameras]
        return np.concatenate([camera.render(data) for camera in self._cameras[size]], axis=2)

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        raise SdiwmError("task reach: the goal is told in words, it has no picture")

    def arrived(self, goal: int) -> bool:
        return bool(self.goal_costs()[goal] < ARRIVED)

    def start_near(self, goal: int, rng: np.random.Generator) -> None:
        """Put the fingertip within about 5 cm of the goal point of puck ``goal``."""
        low, high = self.model.jnt_range.T
        point = self.goal_points()[goal] + rng.uniform([-0.04, -0.04, 0.0], [0.04, 0.04, 0.04])
        self.data.qpos[:] = np.clip(joints_for(point, self._hand_pitch), low, high)
        mujoco.mj_forward(self.model, self.data)

    def restore(self, state: Array, proprio: Array) -> None:
        self.data.qpos[:] = state[3:7]
        self.data.qvel[:] = proprio[4:]
        self.data.mocap_pos[:, :2] = state[7:].reshape(-1, 2)
        mujoco.mj_forward(self.model, self.data)

    def expert_action(self, goal: int | None = None) -> Array:
        return self._towards(self._goal if goal is None else goal, self._hand_pitch)

    def demonstrated_action(self) -> Array:
        """The hand stays pitched as it is, where the expert's takes the episode's own pitch."""
        return self._towards(self._goal, np.clip(self.data.qpos[1:].sum(), *HAND_PITCH_RANGE))

    def _towards(self, goal: int | None, hand_pitch: float) -> Array:
        if goal is None:
            return np.zeros(4, dtype=np.float32)
        error = joints_for(self.goal_points()[goal], hand_pitch) - self.data.qpos
        return np.clip(EXPERT_GAIN * error / self.action_limit, -1, 1).astype(np.float32)

    def project(self, points: Array, size: int) -> Array:
        return project(self.model, self.data, self.cameras[0], points, size)


@cache
def _train_instructions(goal: int) -> tuple[str, ...]:
    return tuple(instructions.train_instructions(goal))


def joints_for(point: Array, hand_pitch: float) -> NDArray[np.float64]:
    """Joint angles (4,) that bring the fingertip to ``point`` (3,), the hand at ``hand_pitch``.

    Two-link inverse kinematics in the arm's vertical plane, elbow up; ``hand_pitch`` in rad
    above the horizontal.
    """
    yaw = np.arctan2(point[1], point[0])
    r = np.hypot(point[0], point[1]) - LINKS[2] * np.cos(hand_pitch)
    z = point[2] - SHOULDER_HEIGHT - LINKS[2] * np.sin(hand_pitch)
    cosine = (r * r + z * z - LINKS[0] ** 2 - LINKS[1] ** 2) / (2 * LINKS[0] * LINKS[1])
    elbow = -np.arccos(np.clip(cosine, -1, 1))
    shoulder = np.arctan2(z, r) - np.arctan2(
        LINKS[1] * np.sin(elbow), LINKS[0] + LINKS[1] * np.cos(elbow)
    )
    return np.array([yaw, shoulder, elbow, hand_pitch - shoulder - elbow])


def _place_pucks(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Random puck centres (count, 3) in an annular sector, kept apart by `PUCK_SPACING`."""
    nearest, farthest = PUCK_RADIUS_RANGE
    while True:
        radius = np.sqrt(rng.uniform(nearest**2, farthest**2, size=count))
        angle = rng.uniform(*PUCK_ANGLE_RANGE, size=count)
        xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        gaps = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
        if gaps[np.triu_indices(count, 1)].min() > PUCK_SPACING:
            return np.concatenate([xy, np.full((count, 1), PUCK_TOP / 2)], axis=1)
