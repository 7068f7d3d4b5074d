"""Task `reach_goal_image`: touch the puck that the arm touches in a picture of the goal.

The arm, table and success are those of `reach`; nothing is said in words, and a model learns it
without any label: from pictures, joint states and actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from sdiwm_sim.tasks.reach import ReachTask, joints_for

SENTENCES = ("reach what the picture shows",)


class ReachGoalImageTask(ReachTask):
    """See the module's docstring; the `Task` protocol states the methods."""

    name = "reach_goal_image"
    goal_modality = "image"
    cameras: tuple[str, ...] = (
        "front",
        "side",
    )  # the front one alone hardly sees how far the wrist is bent

    def train_instructions(self, goal: int) -> Sequence[str]:
        return SENTENCES

    def heldout_instructions(self, goal: int) -> Sequence[str]:
        return SENTENCES

    def unrelated_instructions(self) -> Sequence[str]:
        return ()

    def goal_picture(self, size: int = 64, goal: int | None = None) -> NDArray[np.uint8]:
        chosen = self._goal if goal is None else goal
        if chosen is None:
            return self.render(size)
        low, high = self.model.jnt_range.T
        imagined = mujoco.MjData(self.model)
        imagined.mocap_pos[:] = self.data.mocap_pos
        imagined.qpos[:] = np.clip(
            joints_for(self.goal_points()[chosen], self._hand_pitch), low, high
        )
        mujoco.mj_forward(self.model, imagined)
        return self._picture(imagined, size)
