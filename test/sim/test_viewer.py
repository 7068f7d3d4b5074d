"""The window, on a display of its own where Xvfb is installed."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("mujoco")
from sdiwm_model.errors import SdiwmError
from sdiwm_sim.viewer import Viewer

SHOW = """
import threading
from sdiwm_sim.task import make_task
from sdiwm_sim.viewer import Viewer

task = make_task("reach")
task.reset(0)
before = set(threading.enumerate())
viewer = Viewer(task)
assert set(threading.enumerate()) > before
viewer.refresh()
viewer.close()
assert set(threading.enumerate()) == before
"""


def test_without_a_display_it_is_said(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SdiwmError, match="no display"):
        Viewer(None)


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="xvfb-run is not installed")
def test_nothing_draws_any_more_once_the_window_is_closed():
    show = ["xvfb-run", "--auto-servernum", sys.executable, "-c", SHOW]
    done = subprocess.run(
        show, env=os.environ | {"MUJOCO_GL": "glfw"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
