"""Physics ticks of another length, for a robot that is to be heard more often than in training."""

from __future__ import annotations

from typing import Protocol

import mujoco

from sdiwm_model.errors import SdiwmError


class Ticking(Protocol):
    """A task that makes one step of MuJoCo in a tick."""

    name: str
    model: mujoco.MjModel
    physics_dt: float
    ticks_per_step: int
    control_ticks: int


def set_tick(task: Ticking, physics_dt: float) -> None:
    """Let a tick of ``task`` last ``physics_dt`` seconds; its model step stays as long as it is.

    The control period stays too, to the nearest tick.

    Raises:
        SdiwmError: a model step is no whole number of such ticks.
    """
    model_step = task.ticks_per_step * task.physics_dt
    control_period = task.control_ticks * task.physics_dt
    ticks = round(model_step / physics_dt)
    if ticks < 1 or abs(ticks * physics_dt - model_step) > 1e-9:
        raise SdiwmError(
            f"task {task.name}: {1 / physics_dt:g} Hz of physics do not divide a model step of "
            f"{1000 * model_step:g} ms: choose 125, 200, 250, 500 or 1000 Hz"
        )
    task.ticks_per_step = ticks
    task.control_ticks = max(1, round(control_period / physics_dt))
    task.physics_dt = physics_dt
    task.model.opt.timestep = physics_dt
