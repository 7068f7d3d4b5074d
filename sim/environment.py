"""The simulated tasks as Gymnasium environments: ``gymnasium.make("sdiwm/Reach-v0")``.

Importing this module registers them.
"""

from __future__ import annotations

import string
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from sdiwm_model.errors import SdiwmError
from sdiwm_sim.task import Array, make_task

CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " "
PICTURE_SIZE = 480


class TaskEnv(gymnasium.Env[dict[str, Any], Array]):
    """One model step (`Task.ticks_per_step`) a step.

    Observation: ``image`` uint8 (64, 64, 3 * cameras), ``proprio`` float32 (P,), ``instruction``
    str. Action: float32 (A,) in [-1, 1]. Reward: minus the task's cost of the named goal.
    Terminates on success; truncates at the task's time limit. ``info`` holds the `Outcome`.

    Args:
        task: name of the task.
        render_mode: "rgb_array" or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, task: str = "reach", render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise SdiwmError(f"render_mode '{render_mode}' is unknown: use 'rgb_array' or None")
        self.render_mode = render_mode
        self.task = make_task(task)
        actions = len(self.task.action_limit)
        self.action_space = spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, self.task.render().shape, np.uint8),
                "proprio": spaces.Box(-np.inf, np.inf, self.task.proprio().shape, np.float32),
                "instruction": spaces.Text(max_length=256, charset=CHARACTERS),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options: ``goal`` (index of the named target) and ``instruction`` (the sentence)."""
        super().reset(seed=seed)
        chosen = options or {}
        layout = int(self.np_random.integers(2**31))
        self.task.reset(layout, chosen.get("goal"), chosen.get("instruction"))
        return self._observation(), self._info()

    def step(self, action: Array) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        for _ in range(self.task.ticks_per_step):
            self.task.step(action)
        goal = self.task.goal
        reward = -float(self.task.goal_costs()[goal]) if goal is not None else 0.0
        success = self.task.outcome().success
        over = self.task.time >= self.task.time_limit - 1e-9
        return self._observation(), reward, success, over, self._info()

    def render(self) -> np.ndarray | None:
        return self.task.render(PICTURE_SIZE) if self.render_mode == "rgb_array" else None

    def _observation(self) -> dict[str, Any]:
        return {
            "image": self.task.render(),
            "proprio": self.task.proprio(),
            "instruction": self.task.instruction,
        }

    def _info(self) -> dict[str, Any]:
        return {"outcome": self.task.outcome(), "goal": self.task.goal}


gymnasium.register("sdiwm/Reach-v0", "sdiwm_sim.environment:TaskEnv", kwargs={"task": "reach"})
