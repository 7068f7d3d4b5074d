"""A bundle executed by ONNX Runtime on one thread; torch is never imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.checkpoint import REMEDY, WEIGHTS, read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Array, Dynamics, Planner, PlannerSettings
from sdiwm_model.runtime.checks import as_floats, check_image
from sdiwm_model.runtime.conditioning import Conditioner
from sdiwm_model.runtime.session import open_session


class OnnxDynamics:
    """The latent model as two graphs, step.onnx and heads.onnx."""

    def __init__(self, folder: Path, action_size: int) -> None:
        self.action_size = action_size
        self._step = open_session(folder / "step.onnx")
        self._heads = open_session(folder / "heads.onnx")

    def step(self, z: Array, a: Array, c: Array) -> Array:
        """z (N, Z), a (N, A), c (C,) -> next latents (N, Z)."""
        return self._advance(z, a, c)[0]

    def cost(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._heads.run(["cost"], {"z": z, "c": c[None]})[0]

    def value(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._heads.run(["value"], {"z": z, "c": c[None]})[0]

    def rollout_cost(self, z: Array, actions: Array, c: Array, value_weight: float = 1.0) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> (N,): sum of costs and weighted last value."""
        latents = np.repeat(z[None], len(actions), axis=0)
        total = np.zeros(len(actions), np.float32)
        value = total
        for t in range(actions.shape[1]):
            latents, cost, value = self._advance(latents, actions[:, t], c)
            total = total + cost
        return total + np.float32(value_weight) * value

    def _advance(self, z: Array, a: Array, c: Array) -> list[Array]:
        feeds = {"z": z, "a": np.ascontiguousarray(a), "c": c[None]}
        return self._step.run(["next_z", "cost", "value"], feeds)


class OnnxRuntime:
    """See runtime.protocols.Runtime. `native` shares its vision and its language."""

    backend = "onnx"

    def __init__(self, folder: Path, text_encoder: str | Path | None = None) -> None:
        self.manifest = read_manifest(folder)
        self.folder = folder
        self._vision = open_session(folder / "vision.onnx")
        self._language = open_session(folder / "language.onnx")
        self._conditioner = Conditioner(self.manifest, self._ground, text_encoder)
        self._probe = _read_probe(folder / WEIGHTS)
        self._prepare()

    def _prepare(self) -> None:
        """Load what `native` executes in C++ instead."""
        self._fusion = open_session(self.folder / "fusion.onnx")
        self.dynamics: Dynamics = OnnxDynamics(self.folder, self.manifest.sizes.action)

    def encode_image(self, image: NDArray[np.uint8]) -> Array:
        """image uint8 (64, 64, 3) -> features (E,)."""
        check_image(image, self.manifest.sizes.image_size)
        return self._vision.run(None, {"image": np.ascontiguousarray(image[None])})[0][0]

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (E,), proprio (P,) -> z (Z,)."""
        sizes = self.manifest.sizes
        features = as_floats("features", features, (sizes.features,))
        proprio = as_floats("proprio", proprio, (sizes.proprio,))
        return self._fusion.run(None, {"features": features[None], "proprio": proprio[None]})[0][0]

    def condition(self, instruction: str) -> Array:
        """A sentence -> c (C,); InstructionError where it names none of the goals."""
        return self._conditioner.condition(instruction)

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """MPPI in numpy over ONNX Runtime."""
        return Mppi(self.dynamics, settings, seed)

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> latents (T, Z)."""
        sizes = self.manifest.sizes
        z = as_floats("z", z, (sizes.latent,))[None]
        actions = as_floats("actions", actions, (None, sizes.action))
        c = as_floats("c", c, (sizes.conditioning,))
        latents = np.empty((len(actions), sizes.latent), np.float32)
        for t, action in enumerate(actions):
            z = self.dynamics.step(z, action[None], c)
            latents[t] = z[0]
        return latents

    def probe(self, z: Array) -> Array:
        """latents (..., Z) -> (..., S)."""
        weight, bias = self._probe
        return z @ weight.T + bias

    def _ground(self, tokens: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array]:
        c, grounding = self._language.run(["c", "grounding"], {"tokens": tokens, "mask": mask})
        return c, grounding


def _read_probe(path: Path) -> tuple[Array, Array]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            return weights.get_tensor("probe.weight"), weights.get_tensor("probe.bias")
    except (SafetensorError, FileNotFoundError) as error:
        raise SdiwmError(f"{path} is damaged or has no probe ({error}); {REMEDY}") from None
