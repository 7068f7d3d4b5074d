"""Task `push`: push the puck to the coloured zone that the instruction names.

A two-axis arm moves a finger in a plane 1.4 cm above a table; the action is the finger's velocity,
scaled to [-1, 1], as a robot's Cartesian servo takes it. A puck slides on a viscous film and stops
when it is not pushed; a low rim holds it, the finger passes over the rim. Four flat zones lie at
fixed places. Success: the puck's centre stays within 4 cm of the named zone's centre for 0.3 s,
within 10 s.

The cost of a zone at g, with the puck at p and the finger at f (metres, in the table's plane):

    cost = |p - g| + REACH_WEIGHT * clip((|p - g| - NEAR) / BLEND, 0, 1) * L(f, p, g)

L is the length of the finger's shortest way, round the puck and not through it, to the place from
which it pushes the puck straight to g. In the zone that term fades: where the finger is does not
matter there.
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
from sdiwm_sim.tasks import push_instructions
from sdiwm_sim.tasks.targets import TargetWatch
from sdiwm_sim.tasks.ticks import set_tick

Floats = NDArray[np.float64]

SUCCESS_RADIUS = 0.04  # m
HOLD_TIME = 0.3  # s
ARRIVED_RADIUS = 0.02  # m
CONTACT = 0.052  # m between the centres of puck and finger when they touch
CLEARANCE = 0.012  # m of air that the scripted oracle leaves when it goes round the puck
PUCK_RANGE = 0.13  # m from the table's centre along either axis, at the start
FINGER_RANGE = 0.2  # m, the same
FREE_OF_ZONES = 0.07  # m from the puck to every zone's centre at the start
REACH_WEIGHT = 0.5
NEAR, BLEND = 0.015, 0.04  # m, see above
APPROACH_GAIN, PUSH_GAIN = 12.0, 6.0  # 1/s, of the oracle
ALIGNED = 0.012  # m off the line through puck and zone at which the oracle may push
FINGER, PUCK = slice(0, 2), slice(2, 4)  # their places in qpos; qpos[4] is the puck's turn


class PushTask:
    """See the module's docstring; the `Task` protocol states the methods."""

    name = "push"
    joint_names: tuple[str, ...] = ("finger_x", "finger_y")
    goals: tuple[str, ...] = push_instructions.GOALS
    physics_dt = 0.005
    ticks_per_step = 8
    control_ticks = 4
    camera_period = 0.02
    time_limit = 10.0
    state_groups: tuple[StateGroup, ...] = (
        StateGroup("fingertip", "m", 0, 1, 2),
        StateGroup("puck", "m", 2, 1, 2),
    )
    position_coordinates = 4
    cameras: tuple[str, ...] = ("above",)
    cost_unit = 0.1
    goal_modality = "words"
    episode_return = False

    def __init__(self) -> None:
        xml = files("sdiwm_sim").joinpath("assets/push.xml").read_text()
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        self.action_limit: Array = self.model.actuator_ctrlrange[:, 1].astype(np.float32)
        self._zones = np.array([self.model.body(goal).pos[:2] for goal in self.goals])
        self._tip = self.model.site("fingertip").id
        self._renderers: dict[int, Camera] = {}
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
        self._place(self._free_puck(rng), rng)
        chosen = int(rng.integers(len(self.goals))) if goal is None else goal
        sentences = self.train_instructions(chosen)
        drawn = sentences[int(rng.integers(len(sentences)))]
        self.set_goal(chosen, drawn if instruction is None else instruction)

    def _free_puck(self, rng: np.random.Generator) -> Floats:
        """A random place for the puck outside every zone, (2,)."""
        while True:
            puck = rng.uniform(-PUCK_RANGE, PUCK_RANGE, 2)
            if np.linalg.norm(self._zones - puck, axis=1).min() > FREE_OF_ZONES:
                return puck

    def _place(self, puck: Floats, rng: np.random.Generator, spread: float = np.inf) -> None:
        """The puck at ``puck``, the finger at a random place beside it, ``spread`` m away at most.

        Args:
            spread: largest gap in metres between the rims of the two.
        """
        self.data.qpos[PUCK] = puck
        while True:
            finger = rng.uniform(-FINGER_RANGE, FINGER_RANGE, 2)
            gap = np.linalg.norm(finger - puck) - CONTACT
            if 0.003 < gap < spread:
                break
        self.data.qpos[FINGER] = finger
        mujoco.mj_forward(self.model, self.data)

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None:
        self._goal = goal
        if instruction is not None:
            self._instruction = instruction
        self._watch = TargetWatch(len(self.goals), goal, HOLD_TIME)

    def step(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (2,) or not np.isfinite(action).all():
            raise SdiwmError(
                f"task push: an action must be 2 finite numbers in [-1, 1], got {action!r}"
            )
        self.data.ctrl[:] = np.clip(action, -1, 1) * self.action_limit
        mujoco.mj_step(self.model, self.data)
        self._watch.update(self.zone_distances() < SUCCESS_RADIUS, self.physics_dt, self.time)

    def outcome(self) -> Outcome:
        return self._watch.outcome()

    def train_instructions(self, goal: int) -> Sequence[str]:
        return _train_instructions(goal)

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        return push_instructions.heldout_instructions(goal)

    def unrelated_instructions(self) -> Sequence[str]:
        return push_instructions.unrelated_instructions()

    def proprio(self) -> Array:
        """Place (m) and velocity (m/s) of the finger in the table's plane, (4,)."""
        return np.concatenate([self.data.qpos[FINGER], self.data.qvel[FINGER]]).astype(np.float32)

    def fingertip(self) -> Array:
        return self.data.site_xpos[self._tip].astype(np.float32)

    def goal_points(self) -> Array:
        """Centre of each zone, (4, 3) m."""
        return np.pad(self._zones, ((0, 0), (0, 1))).astype(np.float32)

    def zone_distances(self) -> Floats:
        """Metres from the puck's centre to each zone's, (4,)."""
        distances: Floats = np.linalg.norm(self._zones - self.data.qpos[PUCK], axis=1)
        return distances

    def goal_costs(self) -> Array:
        """The cost of each zone, see the module's docstring: (4,) m."""
        puck, finger = self.data.qpos[PUCK], self.data.qpos[FINGER]
        distances = self.zone_distances()
        fade = np.clip((distances - NEAR) / BLEND, 0, 1)
        ways = [way_to_push(finger, puck, zone) for zone in self._zones]
        return (distances + REACH_WEIGHT * fade * ways).astype(np.float32)

    def arrived(self, goal: int) -> bool:
        """Whether the puck lies well inside the zone ``goal``."""
        return bool(self.zone_distances()[goal] < ARRIVED_RADIUS)

    def state(self) -> Array:
        """Fingertip xy (m), puck xy (m): (4,)."""
        return self.data.qpos[:4].astype(np.float32)

    def render(self, size: int = 64) -> NDArray[np.uint8]:
        if size not in self._renderers:
            self._renderers[size] = Camera(self.model, self.cameras[0], size)
        return self._renderers[size].render(self.data)

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        raise SdiwmError("task push: the goal is told in words, it has no picture")

    def start_near(self, goal: int, rng: np.random.Generator) -> None:
        """The finger within 5 cm of the puck, which in most calls is near ``goal``.

        Near means before and behind it too: a model must know what overshooting costs.
        """
        if rng.random() < 0.7:
            puck = self._zones[goal] + rng.uniform(-0.07, 0.07, 2)
        else:
            puck = rng.uniform(-0.15, 0.15, 2)
        self._place(np.clip(puck, -0.15, 0.15), rng, spread=0.05)

    def restore(self, state: Array, proprio: Array) -> None:
        self.data.qpos[:4] = state
        self.data.qvel[:] = 0
        self.data.qvel[FINGER] = proprio[2:]
        mujoco.mj_forward(self.model, self.data)

    def expert_action(self, goal: int | None = None) -> Array:
        """Go round the puck to its far side as seen from the zone, then push it straight there."""
        chosen = self._goal if goal is None else goal
        if chosen is None or self.zone_distances()[chosen] < 0.004:
            return np.zeros(2, dtype=np.float32)
        puck, finger = self.data.qpos[PUCK], self.data.qpos[FINGER]
        velocity = expert_velocity(finger, puck, self._zones[chosen])
        scaled = velocity / self.action_limit
        return (scaled / max(1.0, float(np.abs(scaled).max()))).astype(np.float32)

    def project(self, points: Array, size: int) -> Array:
        return project(self.model, self.data, self.cameras[0], points, size)


@cache
def _train_instructions(goal: int) -> tuple[str, ...]:
    return tuple(push_instructions.train_instructions(goal))


def way_to_push(finger: Floats, puck: Floats, zone: Floats) -> float:
    """Length (m) of the finger's shortest way to where it pushes the puck straight to the zone.

    That place touches the puck on its far side as seen from the zone. The way keeps `CONTACT` from
    the puck's centre: a straight line where there is one, else a tangent and an arc.
    """
    away = (puck - zone) / max(1e-6, float(np.linalg.norm(puck - zone)))
    offset = finger - puck
    apart = float(np.linalg.norm(offset))
    distance = CONTACT if apart < CONTACT else apart
    cosine = float(offset @ away) / max(1e-6, apart)
    angle = float(np.arccos(np.clip(cosine, -1, 1)))
    seen = np.arccos(CONTACT / distance)  # up to this angle the place is in straight sight
    if angle <= seen:
        squared = distance**2 + CONTACT**2 - 2 * distance * CONTACT * np.cos(angle)
        return float(np.sqrt(np.maximum(0.0, squared)))
    return float(np.sqrt(distance**2 - CONTACT**2) + CONTACT * (angle - seen))


def expert_velocity(finger: Floats, puck: Floats, zone: Floats) -> Floats:
    """The oracle's velocity of the finger (2,) m/s, before limits."""
    to_zone = zone - puck
    distance = float(np.linalg.norm(to_zone))
    ahead = to_zone / max(1e-6, distance)
    side = np.array([-ahead[1], ahead[0]])
    offset = finger - puck
    along, across = float(offset @ ahead), float(offset @ side)
    if along < 0 and abs(across) < ALIGNED:
        return PUSH_GAIN * distance * ahead + 0.03 * ahead - APPROACH_GAIN * across * side
    return APPROACH_GAIN * _way_point(offset, ahead)


def _way_point(offset: Floats, ahead: Floats) -> Floats:
    """From the finger to the next point of its way round the puck, (2,) m."""
    behind = -(CONTACT + CLEARANCE) * ahead
    angle = float(np.arctan2(offset[1], offset[0]))
    turn = float(np.arctan2(behind[1], behind[0])) - angle
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    if abs(turn) < 0.5:
        return behind - offset
    radius = CONTACT + CLEARANCE
    lead = angle + np.sign(turn) * min(abs(turn), 0.6)
    return radius * np.array([np.cos(lead), np.sin(lead)]) - offset
