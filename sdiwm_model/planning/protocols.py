"""The seams of planning: what a planner is, what it plans with, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError

Array = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.int16)


@dataclass(frozen=True)
class PlannerSettings:
    """What MPPI and CEM are told; the defaults are those of the `reach` bundle.

    candidates        action sequences scored in one iteration (0: mean, 1: zeros, 2: prior)
    horizon           model steps in a plan
    iterations        refinements of the mean in one plan
    sigma             standard deviation of the action noise, in units of the action's limit
    beta              correlation of the noise from one model step to the next, [0, 1)
    temperature       softmax temperature as a share of (mean cost - best cost)
    temperature_floor its smallest value, in units of cost
    value_weight      weight of the value head at the last latent
    smoothness        weight of the squared difference of successive actions
    use_prior         whether a model's policy prior proposes a plan, where it has one
    disagreement      weight of the standard deviation of an ensemble's costs, at every step
    """

    candidates: int = 512
    horizon: int = 16
    iterations: int = 1
    sigma: float = 0.5
    beta: float = 0.7
    temperature: float = 0.1
    temperature_floor: float = 0.02
    value_weight: float = 1.0
    smoothness: float = 0.0
    use_prior: bool = True
    disagreement: float = 0.0

    def __post_init__(self) -> None:
        for name, low in (("candidates", 2), ("horizon", 1), ("iterations", 1)):
            if getattr(self, name) < low:
                raise SdiwmError(f"planner.{name} is {getattr(self, name)}: use {low} or more.")
        if not 0.0 <= self.beta < 1.0:
            raise SdiwmError(f"planner.beta is {self.beta}: use a value from 0 to below 1.")
        for name in ("sigma", "temperature_floor"):
            if not getattr(self, name) > 0.0:
                raise SdiwmError(f"planner.{name} is {getattr(self, name)}: use a value above 0.")
        for name in ("temperature", "value_weight", "smoothness", "disagreement"):
            if not getattr(self, name) >= 0.0:
                raise SdiwmError(f"planner.{name} is {getattr(self, name)}: use 0 or more.")


@dataclass(frozen=True)
class Plan:
    """actions (H, A) float32 in [-1, 1]; cost: the model's for the best candidate; elapsed_s.

    inference_s: how long the chunk took that this plan is the first of; 0 where it is not new.
    age_s: by how much the observation behind the actions is older than the newest one.
    late: whether that chunk came after more than what it had been told would be carried out.
    """

    actions: Array
    cost: float
    elapsed_s: float
    inference_s: float = 0.0
    age_s: float = 0.0
    late: bool = False


@dataclass(frozen=True)
class Sighting:
    """What a plan is made from, and when; seconds of one clock.

    z (Z,)      as it was observed at `seen`
    start (Z,)  where the robot will be at `acts`, when the plan's first action acts
    goal        number of the goal in force: with another one an episode begins
    """

    z: Array
    seen: float
    start: Array
    acts: float
    goal: int = 0


@runtime_checkable
class Dynamics(Protocol):
    """A latent model that can be rolled out; N is any batch size."""

    action_size: int

    def step(self, z: Array, a: Array, c: Array) -> Array:
        """z (N, Z), a (N, A), c (C,) -> next latents (N, Z)."""
        ...

    def cost(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> predicted cost of being there (N,)."""
        ...

    def value(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> predicted discounted cost-to-go (N,)."""
        ...

    def prior(self, z: Array, c: Array) -> Array | None:
        """z (Z,), c (C,) -> the policy prior's action sequence (h, A); None without a prior."""
        ...

    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> (N,).

        J = sum_{k=1..H} (cost(z_k, c) + disagreement * std(z_k, c)) + value_weight * value(z_H, c)
        with std the standard deviation of an ensemble's costs; of one cost head it is 0.
        """
        ...


@runtime_checkable
class Planner(Protocol):
    """Turns a latent and a goal into an action sequence."""

    settings: PlannerSettings

    def plan(self, z: Array, c: Array, warm_start: Array | None) -> Plan:
        """z (Z,), c (C,), warm_start (H, A) in [-1, 1] or None (prior or zeros) -> Plan."""
        ...


@runtime_checkable
class TimedPlanner(Planner, Protocol):
    """A planner that remembers, and therefore must be told when."""

    def plan_at(self, sighting: Sighting, c: Array, warm_start: Array | None) -> Plan:
        """Like `plan`; the rows of the plan are a model step apart, the first one acts at `acts`.

        Raises SdiwmError where there is nothing that may be carried out.
        """
        ...


def fit_horizon(actions: NDArray[Number], horizon: int) -> NDArray[Number]:
    """Cut a sequence (h, A) to `horizon` rows, or repeat its last one."""
    missing = max(0, horizon - len(actions))
    return np.concatenate([actions[:horizon], np.repeat(actions[-1:], missing, axis=0)])


def shift_plan(actions: Array, fraction: float) -> Array:
    """Move a plan (H, A) forward by `fraction` of a model step (control period / dt).

    Each row is interpolated linearly towards the next; the last row is repeated.
    """
    if not 0.0 <= fraction <= 1.0:
        raise SdiwmError(f"A plan can be shifted by 0 to 1 model steps, not {fraction}.")
    following = np.concatenate([actions[1:], actions[-1:]])
    return (actions + fraction * (following - actions)).astype(np.float32)
