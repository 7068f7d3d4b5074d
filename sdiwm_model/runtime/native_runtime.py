"""The `native` back end: sight and language by ONNX Runtime, all that runs each tick in C++."""

from __future__ import annotations

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, Planner, PlannerSettings
from sdiwm_model.runtime.checks import as_floats
from sdiwm_model.runtime.native import NativeDynamics, NativeEngine
from sdiwm_model.runtime.onnx import OnnxRuntime


class NativeRuntime(OnnxRuntime):
    """See runtime.protocols.Runtime. Latents are the integer engine's, as floats."""

    backend = "native"

    def _prepare(self) -> None:
        if self.manifest.sizes.dynamics_kind != "gru":
            raise SdiwmError(
                f"{self.folder}: the back end 'native' runs a GRU, and this model's dynamics is a "
                f"{self.manifest.sizes.dynamics_kind}: choose the back end 'onnx' or 'torch'."
            )
        self._engine = NativeEngine.load(self.folder)
        self.dynamics = NativeDynamics(self._engine)

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) -> z (Z,)."""
        sizes = self.manifest.sizes
        features = as_floats("features", features, (sizes.frames * sizes.features,))
        return self._engine.fuse(features, as_floats("proprio", proprio, (sizes.proprio,)))

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """MPPI in integers: the same bits on every target."""
        return self._engine.make_planner(settings, seed)

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> latents (T, Z)."""
        sizes = self.manifest.sizes
        z = as_floats("z", z, (sizes.latent,))
        actions = as_floats("actions", actions, (None, sizes.action))
        return self._engine.rollout(z, actions, as_floats("c", c, (sizes.conditioning,)))
