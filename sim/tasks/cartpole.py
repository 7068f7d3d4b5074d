"""Task `cartpole`: swing the pole up by pushing the cart, then balance it (dm_control's swing-up).

The model, the start and the reward are those of `dm_control.suite.cartpole`, task `swingup` with
the smooth reward (Tassa et al., "DeepMind Control Suite", 2018): a cart on a rail of 1.8 m to
either side, a pole of 1 m that hangs down, and a force of at most 10 N on the cart, the only
action. A physics tick is one control step of dm_control, 10 ms, so that the sum of rewards over
the 10 s of an episode is dm_control's return, 0 to 1000. There is no proprioception: all that is
known comes from pictures.

The cost is sqrt(1 - reward), with the reward's factor for small actions left out, which no picture
shows. The root changes no order of better and worse. The reward is flat at the top: 1 - reward
grows with the square of the lean, and a model that learns it takes a pole that begins to fall for
one that stands. The root grows with the lean itself, as a distance does.

Success, beside the return: dm_control's sparse reward, pole within 5.7 degrees of upright and cart
within 25 cm of the middle, was 1 throughout the last 2 s of an episode; the time to success is when
it became 1 for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import mujoco
import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.rendering import Camera, project
from sdiwm_sim.task import Array, Outcome, StateGroup
from sdiwm_sim.tasks import cartpole_instructions

HOLD_TIME = 2.0  # s
UPRIGHT_COSINE = 0.995
CENTRE = 0.25  # m
CAMERA_DISTANCE = 4.6  # m from the rail: dm_control's 4 m lose a cart that is 1.5 m aside
SUPERSAMPLING = 2  # rendered pixels in one of the picture's, each way: the pole is 1.5 pixels wide
SAMPLES = 4  # of each rendered pixel: with both, a picture tells where the cart is to 2 mm
GRAVITY, CART_MASS, POLE_MASS, POLE_CENTRE = 9.81, 1.0, 0.1, 0.5  # m/s2, kg, kg, m from the hinge
POLE_INERTIA = 0.03442  # kg m2 about the hinge
FREQUENCY = (POLE_MASS * GRAVITY * POLE_CENTRE / POLE_INERTIA) ** 0.5  # 1/s, of small swings


class CartpoleTask:
    """See the module's docstring; the `Task` protocol states the methods."""

    name = "cartpole"
    joint_names: tuple[str, ...] = ("slider",)
    goals: tuple[str, ...] = ("upright",)
    physics_dt = 0.01
    ticks_per_step = 4
    control_ticks = 4
    camera_period = 0.04
    cameras: tuple[str, ...] = ("fixed",)
    cost_unit = 0.2
    goal_modality = "words"
    episode_return = True
    time_limit = 10.0
    state_groups: tuple[StateGroup, ...] = (
        StateGroup("cart", "m", 0, 1, 1),
        StateGroup("pole_tip", "m", 1, 1, 2),
        StateGroup("cart_velocity", "m_per_s", 3, 1, 1),
        StateGroup("pole_velocity", "rad_per_s", 4, 1, 1),
    )
    position_coordinates = 2

    def __init__(self) -> None:
        self.model = _dm_control_model()
        self.data = mujoco.MjData(self.model)
        self.action_limit: Array = np.ones(1, np.float32)
        self._cameras: dict[int, Camera] = {}
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
        rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        self._total_reward = 0.0
        self._place(0.01 * rng.normal(size=4) + np.array([0.0, np.pi, 0.0, 0.0]))
        sentences = self.train_instructions(0)
        drawn = sentences[int(rng.integers(len(sentences)))]
        self._instruction = drawn if instruction is None else instruction
        self.set_goal(0 if goal is None else goal)

    def _place(self, state: NDArray[np.float64]) -> None:
        """``state`` (4,): cart m, pole angle from upright rad, and their velocities."""
        self.data.qpos[:], self.data.qvel[:] = state[:2], state[2:]
        mujoco.mj_forward(self.model, self.data)

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None:
        self._goal = goal
        if instruction is not None:
            self._instruction = instruction
        self._held = 0.0

    def step(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (1,) or not np.isfinite(action).all():
            raise SdiwmError(
                f"task cartpole: an action must be 1 finite number in [-1, 1], got {action!r}"
            )
        self.data.ctrl[:] = np.clip(action, -1, 1)
        mujoco.mj_step(self.model, self.data)
        self._total_reward += self.reward()
        self._held = self._held + self.physics_dt if self._stands() else 0.0

    def reward(self) -> float:
        """dm_control's smooth reward for the last tick, 0 to 1."""
        gentle = (5 - float(self.data.ctrl[0]) ** 2) / 5
        return gentle * self._posture()

    def _posture(self) -> float:
        """The reward's factors for height, spin and place: 1 where the pole stands still."""
        (cart, angle), (_, spin) = self.data.qpos, self.data.qvel
        upright = (np.cos(angle) + 1) / 2
        centred = (1 + 0.1 ** ((cart / 2) ** 2)) / 2
        slow = (1 + 0.1 ** ((spin / 5) ** 2)) / 2
        return float(upright * slow * centred)

    def _stands(self) -> bool:
        cart, angle = self.data.qpos
        return bool(np.cos(angle) >= UPRIGHT_COSINE and abs(cart) <= CENTRE)

    def outcome(self) -> Outcome:
        over = self.time >= self.time_limit - 1e-9
        stood = self._goal is not None and over and self._held >= HOLD_TIME - 1e-9
        return Outcome(
            success=stood,
            wrong_target=False,
            passed_over_wrong=False,
            time_to_success=self.time - self._held if stood else None,
            total_reward=self._total_reward,
        )

    def train_instructions(self, goal: int) -> Sequence[str]:
        return cartpole_instructions.TRAIN

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        return cartpole_instructions.HELDOUT

    def unrelated_instructions(self) -> Sequence[str]:
        return cartpole_instructions.UNRELATED

    def proprio(self) -> Array:
        return np.zeros(0, np.float32)

    def fingertip(self) -> Array:
        cart, angle = self.data.qpos
        return np.array([cart + np.sin(angle), 0.0, 1 + np.cos(angle)], np.float32)

    def goal_costs(self) -> Array:
        return np.array([np.sqrt(1 - self._posture())], np.float32)

    def arrived(self, goal: int) -> bool:
        return self._stands()

    def state(self) -> Array:
        """Cart (m), tip from the hinge (m, right and up), velocities (m/s, rad/s): (5,)."""
        cart, angle = self.data.qpos
        return np.array([cart, np.sin(angle), np.cos(angle), *self.data.qvel], np.float32)

    def render(self, size: int = 64) -> NDArray[np.uint8]:
        if size not in self._cameras:
            edge = SUPERSAMPLING * size
            visual = self.model.vis
            visual.global_.offwidth = visual.global_.offheight = edge
            self._cameras[size] = Camera(self.model, self.cameras[0], edge)
        fine = self._cameras[size].render(self.data)
        step = SUPERSAMPLING
        total = np.zeros((size, size, 3), np.uint16)
        for row, column in np.ndindex(step, step):  # three times faster than a reshape and a sum
            total += fine[row::step, column::step]
        return (total // step**2).astype(np.uint8)

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        raise SdiwmError("task cartpole: its goal is told in words and has no picture")

    def start_near(self, goal: int, rng: np.random.Generator) -> None:
        """The pole within 0.4 radian of upright, or as often anywhere, swinging at any speed.

        Whoever only swings up well brings the pole to the top just so fast that it stops there,
        and a model that sees nothing else takes it that poles stop at the top by themselves.
        """
        near, anywhere = np.array([1.0, 0.4, 0.8, 1.2]), np.array([1.2, np.pi, 2.0, 9.0])
        self._place(rng.uniform(-1, 1, 4) * (near if rng.random() < 0.5 else anywhere))

    def restore(self, state: Array, proprio: Array) -> None:
        cart, right, up, *velocities = (float(number) for number in state)
        self._place(np.array([cart, np.arctan2(right, up), *velocities]))

    def expert_action(self, goal: int | None = None) -> Array:
        """Swing up by energy (Åström and Furuta 2000), then balance by linear feedback.

        The gains were found by random search on the return. The feedback takes over where the
        pole would come to rest near the top: angle + velocity / frequency is small.
        """
        if self._goal is None and goal is None:
            return np.zeros(1, np.float32)
        cart, angle = self.data.qpos
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        speed, spin = self.data.qvel
        if abs(angle) < 1.5 and abs(angle + spin / FREQUENCY) < 0.5:
            force = 0.43 * cart + 4.72 * angle + 0.6 * speed + 1.25 * spin
        else:
            energy = (spin / FREQUENCY) ** 2 / 2 + np.cos(angle) - 1  # of m g l; 0 at the top
            pump = 8.4 * (energy + 0.08) * (1 if spin * np.cos(angle) > 0 else -1)
            wanted = np.clip(pump - 2.7 * cart - 1.7 * speed, -11, 11)
            force = _force_for(float(wanted), float(angle), float(spin)) / 10
        return np.clip(np.array([force]), -1, 1).astype(np.float32)

    def project(self, points: Array, size: int) -> Array:
        return project(self.model, self.data, self.cameras[0], points, size)


def _dm_control_model() -> mujoco.MjModel:
    """The suite's own XML, seen from farther away; only dm_control's files are needed."""
    suite = files("dm_control").joinpath("suite")
    names = [f"common/{part}.xml" for part in ("skybox", "visual", "materials")]
    assets = {f"./{name}": suite.joinpath(name).read_bytes() for name in names}
    xml = suite.joinpath("cartpole.xml").read_text()
    model = mujoco.MjModel.from_xml_string(xml, assets)
    model.camera("fixed").pos[1] = -CAMERA_DISTANCE
    quality = model.vis.quality
    quality.offsamples, quality.shadowsize, quality.numslices, quality.numstacks = SAMPLES, 0, 12, 6
    return model


def _force_for(acceleration: float, angle: float, spin: float) -> float:
    """Newtons on the cart that give it ``acceleration`` (m/s2), whatever the pole does."""
    sine, cosine = np.sin(angle), np.cos(angle)
    moment = POLE_MASS * POLE_CENTRE
    turn = moment * (GRAVITY * sine - acceleration * cosine) / POLE_INERTIA
    mass = CART_MASS + POLE_MASS
    return float(mass * acceleration + moment * (turn * cosine - spin**2 * sine))
