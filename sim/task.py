"""What the rest of the project may assume of a simulated task, and how to get one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.opengl import cannot_render

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What has happened in an episode so far.

    ``wrong_target``: another target was held as long as success asks. ``passed_over_wrong``:
    the fingertip came within the success radius of another target, however briefly.
    ``total_reward``: the sum of rewards so far, where the task has an episode return.
    """

    success: bool
    wrong_target: bool
    passed_over_wrong: bool
    time_to_success: float | None
    total_reward: float | None = None


@dataclass(frozen=True)
class StateGroup:
    """What a part of the privileged state holds: ``count`` points of ``width`` numbers each.

    ``first`` is the index of its first number; ``unit`` is "m" or "rad".
    """

    name: str
    unit: str
    first: int
    count: int
    width: int


@runtime_checkable
class Task(Protocol):
    """A simulated robot with cameras, commanded by actions in [-1, 1] and told a goal.

    Shapes: ``proprio`` (P,), P may be 0; ``action`` (A,); ``state`` (S,). See
    `sdiwm_sim.tasks.reach`.

    ticks_per_step     physics ticks in a model step, of at least 40 ms together
    control_ticks      physics ticks between two plans of the controller
    cost_unit          what `goal_costs` are divided by in training: what is near is below 0.5
    goal_modality      "words", or "image": a picture of the goal
    episode_return     whether the task is judged by the sum of its rewards
    """

    name: str
    joint_names: tuple[str, ...]
    action_limit: Array
    goals: tuple[str, ...]
    physics_dt: float
    ticks_per_step: int
    control_ticks: int
    camera_period: float
    cameras: tuple[str, ...]
    cost_unit: float
    goal_modality: str
    episode_return: bool
    time_limit: float
    state_groups: tuple[StateGroup, ...]
    position_coordinates: int  # of joints and objects: what a latent must know to be whole

    @property
    def instruction(self) -> str:
        """The sentence of this episode."""

    @property
    def goal(self) -> int | None:
        """Index into ``goals`` of the target that counts as success."""

    @property
    def time(self) -> float:
        """Seconds since `reset`."""

    def reset(self, seed: int, goal: int | None = None, instruction: str | None = None) -> None:
        """Lay out a new episode; the same seed gives the same one."""

    def set_goal(self, goal: int | None, instruction: str | None = None) -> None:
        """Change the named target while the arm moves; hold timers start anew."""

    def step(self, action: Array) -> None:
        """Hold ``action`` (A,), clipped to [-1, 1], for one physics tick."""

    def train_instructions(self, goal: int) -> Sequence[str]:
        """Sentences that ask for ``goal``, the plainest one first."""

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        """Paraphrases and word orders of which no training sentence has the like."""

    def unrelated_instructions(self) -> Sequence[str]:
        """Sentences that name no goal and must be refused."""

    def proprio(self) -> Array:
        """Joint positions (rad) then velocities (rad/s), (P,)."""

    def render(self, size: int = 64) -> NDArray[np.uint8]:
        """The task's cameras side by side in the channels, (size, size, 3 * cameras) RGB."""

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        """What `render` shows when ``goal`` (default: the named one) is reached.

        Raises:
            SdiwmError: the task's goals are told in words.
        """

    def state(self) -> Array:
        """Privileged state (S,) for evaluation: fingertip, joints, object positions."""

    def fingertip(self) -> Array:
        """World position (3,) in metres."""

    def goal_costs(self) -> Array:
        """What a planner is to make small for each goal: the reward, sign turned; (len(goals),)."""

    def arrived(self, goal: int) -> bool:
        """Whether the robot is so close to ``goal`` that a scripted one may leave for another."""

    def outcome(self) -> Outcome:
        """What has happened since `reset` or `set_goal`."""

    def start_near(self, goal: int, rng: np.random.Generator) -> None:
        """Move the robot to a random place close to the goal, for data collection."""

    def restore(self, state: Array, proprio: Array) -> None:
        """Put all where ``state`` (S,) says, with the joint velocities of ``proprio`` (P,)."""

    def expert_action(self, goal: int | None = None) -> Array:
        """The scripted oracle's action (A,) towards ``goal`` (default: the named one)."""

    def project(self, points: Array, size: int) -> Array:
        """Pixel coordinates (N, 2), x right and y down, of world points (N, 3)."""


@runtime_checkable
class AnyRate(Protocol):
    """A task whose physics ticks may be of another length than in its data."""

    def set_tick(self, physics_dt: float) -> None:
        """Let a tick last ``physics_dt`` s, a divisor of the model step, which stays as it is."""


@runtime_checkable
class Demonstrates(Protocol):
    """A task whose expert has whims that nobody can see, and can act without them."""

    def demonstrated_action(self) -> Array:
        """The expert's action (A,) towards the named target, a function of the state alone."""


def _load_opengl() -> None:
    try:
        import mujoco  # noqa: F401 (it loads OpenGL, and fails where that is missing)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise cannot_render(error) from error


def _reach() -> Task:
    _load_opengl()
    from sdiwm_sim.tasks.reach import ReachTask

    return ReachTask()


def _reach_goal_image() -> Task:
    _load_opengl()
    from sdiwm_sim.tasks.reach_goal_image import ReachGoalImageTask

    return ReachGoalImageTask()


def _cartpole() -> Task:
    _load_opengl()
    from sdiwm_sim.tasks.cartpole import CartpoleTask

    return CartpoleTask()


def _jaco_reach() -> Task:
    _load_opengl()
    from sdiwm_sim.tasks.jaco_reach import JacoReachTask

    return JacoReachTask()


def _push() -> Task:
    _load_opengl()
    from sdiwm_sim.tasks.push import PushTask

    return PushTask()


TASKS: dict[str, Callable[[], Task]] = {
    "reach": _reach,
    "reach_goal_image": _reach_goal_image,
    "cartpole": _cartpole,
    "jaco_reach": _jaco_reach,
    "push": _push,
}


def make_task(name: str, physics_dt: float | None = None) -> Task:
    """Build a task.

    Args:
        physics_dt: seconds of a physics tick; default the task's own, with which data is collected.

    Raises:
        SdiwmError: the name is not a known task; it cannot run with such ticks.
    """
    if name not in TASKS:
        raise SdiwmError(f"unknown task '{name}': choose one of {', '.join(sorted(TASKS))}")
    task = TASKS[name]()
    if physics_dt is not None and physics_dt != task.physics_dt:
        if not isinstance(task, AnyRate):
            raise SdiwmError(
                f"task {name}: its physics runs at {1 / task.physics_dt:g} Hz and at no other rate"
            )
        task.set_tick(physics_dt)
    return task
