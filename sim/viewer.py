"""A window on a simulated task, for a person: MuJoCo's own viewer, drawn by a thread of its own."""

from __future__ import annotations

import os
import threading
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

        before = set(threading.enumerate())
        self._window = mujoco.viewer.launch_passive(
            task.model, task.data, show_left_ui=False, show_right_ui=False
        )
        self._threads = set(threading.enumerate()) - before

    def refresh(self) -> None:
        """Show the task's present state."""
        if self._window.is_running():
            self._window.sync()

    def close(self) -> None:
        """Close the window, and wait for what draws it: GLFW ends with the process, which would
        crash a thread that still draws.
        """
        self._window.close()
        for thread in self._threads:
            thread.join(timeout=5.0)
