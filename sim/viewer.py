"""A window on a simulated task, for a person: MuJoCo's own viewer, drawn by a thread of its own."""

from __future__ import annotations

import os
from typing import Protocol

import mujoco

from sdiwm_model.errors import SdiwmError


class MujocoTask(Protocol):
    """A task that shows its MuJoCo model and state."""

    model: mujoco.MjModel
    data: mujoco.MjData


class Viewer:
    """An open window; closing it does not stop the task.

    Raises:
        SdiwmError: there is no display to open a window on.
    """

    def __init__(self, task: MujocoTask) -> None:
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SdiwmError("headless is false but there is no display: set headless to true")
        import mujoco.viewer

        self._window = mujoco.viewer.launch_passive(
            task.model, task.data, show_left_ui=False, show_right_ui=False
        )

    def refresh(self) -> None:
        """Show the task's present state."""
        if self._window.is_running():
            self._window.sync()

    def close(self) -> None:
        """Close the window."""
        self._window.close()
