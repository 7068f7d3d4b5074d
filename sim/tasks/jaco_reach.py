"""Task `jaco_reach`: bring the hand of a six-joint Jaco arm to a red ball in the air.

Arm, arena, distributions and radius are those of `reach_site` of dm_control's manipulation tasks
(Tunyasuvunakool et al. 2020, "dm_control"): hand and ball start anywhere in a box of 40 x 40 x
38 cm, the hand pointing down, the fingers closed by a random amount. dm_control's reward is 1 where
the pinch site is within 5 cm of the ball's centre; success here is to keep it there for 0.3 s,
within dm_control's 10 s.

A physics tick here is dm_control's control timestep, 0.04 s or 20 steps of MuJoCo. The action is
the velocity command of the six joints, scaled to [-1, 1]; the fingers are held still. The picture
is drawn from two cameras of our own, 90 degrees apart, the ball opaque, and every link's mesh as
the ellipsoid in its bounding box: at 64 x 64 the same to the eye, and six times faster.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import cache

import mujoco
import numpy as np
from dm_control import composer, manipulation, mjcf
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.rendering import Camera, project
from sdiwm_sim.task import Array, Outcome, StateGroup
from sdiwm_sim.tasks import jaco_instructions
from sdiwm_sim.tasks.targets import TargetWatch

BALL_RADIUS = 0.05  # m: dm_control's target radius, within which its reward is 1
HOLD_TIME = 0.3  # s
BOX = np.array([[-0.2, -0.2, 0.02], [0.2, 0.2, 0.4]])  # m: dm_control's, for hand and ball
JOINTS = 6
LAYOUT_ATTEMPTS = 20
CAMERA_FIELD = 32.0  # degrees
CAMERAS = {"front_left": (-0.8, -0.8, 0.65), "front_right": (0.8, -0.8, 0.65)}  # m
CAMERA_AIM = (0.0, 0.0, 0.19)  # m: the middle of the box

EXPERT_GAIN = 4.0  # 1/s
TILT_WEIGHT = 0.1  # m/rad: how much the expert cares to keep the hand pointing down
DAMPING = 0.05
NEAR_SPREAD = 0.08  # m, along each axis
NEAR_STEPS, NEAR_STEP_TIME = 60, 0.1  # of the kinematics alone, s each


class JacoReachTask:
    """See the module's docstring; the `Task` protocol states the methods.

    ``proprio`` (21,): sines, then cosines of the joint angles (most joints turn without end), joint
    velocities in rad/s, pinch site in metres; all of them are in dm_control's own proprioception.
    """

    name = "jaco_reach"
    joint_names: tuple[str, ...] = tuple(f"joint_{i + 1}" for i in range(JOINTS))
    goals: tuple[str, ...] = ("ball",)
    physics_dt = 0.04
    ticks_per_step = 2
    control_ticks = 1
    camera_period = 0.04
    cameras: tuple[str, ...] = tuple(CAMERAS)
    cost_unit = 0.1  # m
    goal_modality = "words"
    episode_return = False
    time_limit = 10.0
    state_groups: tuple[StateGroup, ...] = (
        StateGroup("fingertip", "m", 0, 1, 3),
        StateGroup("joints", "rad", 3, JOINTS, 2),
        StateGroup("ball", "m", 3 + 2 * JOINTS, 1, 3),
    )
    position_coordinates = JOINTS + 3

    def __init__(self) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)  # failed attempts of the layout's own IK
        self._source = manipulation.load("reach_site_features").task
        arena = self._source.root_entity.mjcf_model
        for name, position in CAMERAS.items():
            arena.worldbody.add(
                "camera", name=name, pos=position, xyaxes=_axes(position), fovy=CAMERA_FIELD
            )
        self._physics = mjcf.Physics.from_mjcf_model(arena)
        self.model: mujoco.MjModel = self._physics.model.ptr
        self.data: mujoco.MjData = self._physics.data.ptr
        self.action_limit: Array = self.model.actuator_ctrlrange[:JOINTS, 1].astype(np.float32)
        self._substeps = round(self.physics_dt / self.model.opt.timestep)
        self._tip = self.model.site("jaco_arm/jaco_hand/pinchsite").id
        self._ball = self.model.site("target_site").id
        self._drawn = _cheap_to_draw(self.model, self._ball)
        self._pictures: dict[int, list[Camera]] = {}
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

    def reset(self, seed: int, goal: int | None = None, instruction: str | None = None) -> None:
        self._lay_out(np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed))))
        sentences = self.train_instructions(0)
        drawn = sentences[int(np.random.default_rng(seed).integers(len(sentences)))]
        self.set_goal(0 if goal is None else goal, drawn if instruction is None else instruction)

    def _lay_out(self, random: np.random.RandomState) -> None:
        """dm_control's own initial state; as its environment does, try again where it gives up."""
        for _ in range(LAYOUT_ATTEMPTS):
            try:
                with self._physics.reset_context():
                    self._source.initialize_episode(self._physics, random)
            except composer.EpisodeInitializationError:
                continue
            return
        raise SdiwmError("task jaco_reach: no free arm pose found; is this dm_control 1.0?")

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None:
        self._goal = goal
        if instruction is not None:
            self._instruction = instruction
        self._watch = TargetWatch(len(self.goals), goal, HOLD_TIME)

    def step(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (JOINTS,) or not np.isfinite(action).all():
            raise SdiwmError(
                f"task jaco_reach: an action must be 6 finite numbers in [-1, 1], got {action!r}"
            )
        self.data.ctrl[:JOINTS] = np.clip(action, -1, 1) * self.action_limit
        mujoco.mj_step(self.model, self.data, self._substeps)
        mujoco.mj_forward(self.model, self.data)
        self._watch.update(self.goal_costs() < BALL_RADIUS, self.physics_dt, self.time)

    def outcome(self) -> Outcome:
        return self._watch.outcome()

    def train_instructions(self, goal: int) -> Sequence[str]:
        return _train_instructions()

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        return jaco_instructions.heldout_instructions()

    def unrelated_instructions(self) -> Sequence[str]:
        return jaco_instructions.unrelated_instructions()

    def proprio(self) -> Array:
        angles, speeds = self.data.qpos[:JOINTS], self.data.qvel[:JOINTS]
        tip = self.data.site_xpos[self._tip]
        return np.concatenate([np.sin(angles), np.cos(angles), speeds, tip], dtype=np.float32)

    def fingertip(self) -> Array:
        return self.data.site_xpos[self._tip].astype(np.float32)

    def ball(self) -> Array:
        """Centre of the ball, (3,) m."""
        return self.data.site_xpos[self._ball].astype(np.float32)

    def _distance(self) -> float:
        gap = self.data.site_xpos[self._tip] - self.data.site_xpos[self._ball]
        return float(np.linalg.norm(gap))

    def goal_costs(self) -> Array:
        """Metres from the pinch site to the centre of the ball, (1,)."""
        return np.array([self._distance()], dtype=np.float32)

    def arrived(self, goal: int) -> bool:
        return self._distance() < BALL_RADIUS

    def state(self) -> Array:
        """Pinch site (m), cosine and sine of each joint, centre of the ball (m): (18,).

        The distance between two points of the unit circle is the angle between them, where that
        is small: an error in rad that knows no end of the range.
        """
        angles = self.data.qpos[:JOINTS]
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).ravel()
        return np.concatenate([self.fingertip(), circle, self.ball()], dtype=np.float32)

    def render(self, size: int = 64) -> NDArray[np.uint8]:
        if size not in self._pictures:
            self._pictures[size] = [Camera(self._drawn, name, size) for name in self.cameras]
        return np.concatenate([c.render(self.data) for c in self._pictures[size]], axis=-1)

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        raise SdiwmError("task jaco_reach: the goal is told in words, it has no picture")

    def start_near(self, goal: int, rng: np.random.Generator) -> None:
        """Bring the pinch site to within 8 cm of the ball's centre along each axis, at rest."""
        point = np.clip(self.ball() + rng.uniform(-NEAR_SPREAD, NEAR_SPREAD, 3), *BOX)
        for _ in range(NEAR_STEPS):
            self.data.qpos[:JOINTS] += NEAR_STEP_TIME * self._velocities_towards(point)
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)

    def restore(self, state: Array, proprio: Array) -> None:
        circle = np.asarray(state[3 : 3 + 2 * JOINTS], dtype=np.float64).reshape(JOINTS, 2)
        self.data.qpos[:JOINTS] = np.arctan2(circle[:, 1], circle[:, 0]) % (2 * np.pi)
        self.data.qvel[:JOINTS] = proprio[2 * JOINTS : 3 * JOINTS]
        self.model.site_pos[self._ball] = state[3 + 2 * JOINTS :]
        mujoco.mj_forward(self.model, self.data)

    def expert_action(self, goal: int | None = None) -> Array:
        if self._goal is None and goal is None:
            return np.zeros(JOINTS, dtype=np.float32)
        return (self._velocities_towards(self.ball()) / self.action_limit).astype(np.float32)

    def _velocities_towards(self, point: Array) -> NDArray[np.float64]:
        """Joint velocities (6,), rad/s, that bring the pinch site to ``point``, pointing down.

        Damped least squares (Nakamura and Hanafusa 1986), slowed down as a whole so that no joint
        exceeds its limit: the path stays straight.
        """
        jacobian = np.zeros((6, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jacobian[:3], jacobian[3:], self._tip)
        pointing = self.data.site_xmat[self._tip].reshape(3, 3)[:, 2]
        wanted = np.concatenate(
            [point - self.data.site_xpos[self._tip], np.cross(pointing, [0.0, 0.0, -1.0])]
        )
        weights = np.repeat([1.0, TILT_WEIGHT], 3)
        rows = weights[:, None] * jacobian[:, :JOINTS]
        square = rows @ rows.T + DAMPING**2 * np.eye(6)
        speeds = EXPERT_GAIN * rows.T @ np.linalg.solve(square, weights * wanted)
        return speeds / max(1.0, float(np.abs(speeds / self.action_limit).max()))

    def project(self, points: Array, size: int) -> Array:
        """Where the first camera sees ``points``."""
        return project(self.model, self.data, self.cameras[0], points, size)


@cache
def _train_instructions() -> tuple[str, ...]:
    return tuple(jaco_instructions.train_instructions())


def _axes(position: tuple[float, float, float]) -> NDArray[np.float64]:
    """x and y axis, (6,), of an upright camera at ``position`` that looks at `CAMERA_AIM`."""
    back = np.subtract(position, CAMERA_AIM)
    right = np.cross([0.0, 0.0, 1.0], back)
    up = np.cross(back, right)
    return np.concatenate([right / np.linalg.norm(right), up / np.linalg.norm(up)])


def _cheap_to_draw(model: mujoco.MjModel, ball: int) -> mujoco.MjModel:
    """A copy of ``model`` for drawing only: ellipsoids for meshes, no texture, an opaque ball."""
    drawn = copy.copy(model)
    meshes = drawn.geom_type == mujoco.mjtGeom.mjGEOM_MESH
    drawn.geom_type[meshes] = mujoco.mjtGeom.mjGEOM_ELLIPSOID
    drawn.geom_size[meshes] = drawn.geom_aabb[meshes, 3:]
    drawn.geom_matid[drawn.geom("ground").id] = -1
    drawn.site_rgba[ball] = [1.0, 0.0, 0.0, 1.0]
    drawn.vis.quality.offsamples = 0
    drawn.vis.quality.numslices = 10
    drawn.vis.quality.numstacks = 6
    return drawn
