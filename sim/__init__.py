"""MuJoCo tasks, Gymnasium environments, data collection and closed-loop evaluation.

Installed as the package ``sdiwm_sim`` so that no module called ``sim`` lands in site-packages.
"""

import os
import sys

# MuJoCo picks its OpenGL library once, when it is first imported: without a screen, use EGL.
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")
