"""Runs one node on a scripted model: `scripted_node.py NODE --ros-args …`, for the tests.

The scripted model needs no bundle. Each colour means one joint velocity; sentences without a
colour are refused. SCRIPTED_PLAN_MS is how long a plan takes.
"""

import ctypes
import importlib
import os
import sys
import time
from types import SimpleNamespace

import numpy as np

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import Plan, PlannerSettings
from sdiwm_model.sizes import ModelSize

ACTIONS = {"red": 0.4, "green": -0.4, "blue": 0.8, "yellow": -0.8}
HORIZON = 16
_nanosleep = ctypes.CDLL(None).usleep  # releases the GIL, as the engine does


class ScriptedPlanner:
    def __init__(self, settings):
        self.settings = settings
        self.busy = float(os.environ.get("SCRIPTED_PLAN_MS", "1"))

    def plan(self, z, c, warm_start):
        started = time.perf_counter()
        if z.shape != (32,):
            raise SdiwmError(f"latent of shape {z.shape}, the model has (32,)")
        actions = np.zeros((HORIZON, 4), np.float32)
        actions[:, 0] = c[0]
        _nanosleep(int(1000 * self.busy))
        return Plan(actions, 0.0, time.perf_counter() - started)


class ScriptedRuntime:
    backend = "scripted"
    manifest = SimpleNamespace(
        dt=0.04,
        goals=tuple(ACTIONS),
        action_limit=(1.0, 1.0, 1.0, 1.0),
        planner=PlannerSettings(),
        model_hash="scripted",
        sizes=ModelSize(),
    )

    def encode_image(self, image):
        if image.shape != (64, 64, 3):
            raise SdiwmError(f"image of shape {image.shape}, the model sees (64, 64, 3)")
        return np.full(64, image.mean() / 255, np.float32)

    def fuse(self, features, proprio):
        if proprio.shape != (8,) or not np.isfinite(proprio).all():
            raise SdiwmError("the joint state is not 8 finite numbers")
        return np.concatenate([np.tanh(proprio), np.zeros(24)]).astype(np.float32)

    def condition(self, instruction):
        for colour, action in ACTIONS.items():
            if colour in instruction:
                return np.full(16, action, np.float32)
        raise InstructionError(f"'{instruction}' names none of {', '.join(ACTIONS)}")

    def make_planner(self, settings, seed):
        return ScriptedPlanner(settings)

    def rollout(self, z, actions, c):
        return np.repeat(z[None], len(actions), axis=0)

    def probe(self, z):
        return z[..., :15]


if __name__ == "__main__":
    node = sys.argv[1]
    module = importlib.import_module(f"sdiwm_ros.nodes.{node}")
    arguments = [sys.argv[0], *sys.argv[2:]]
    if node in ("simulator", "guard", "recorder"):
        sys.exit(module.main(arguments))
    sys.exit(module.main(arguments, lambda parameters: ScriptedRuntime()))
