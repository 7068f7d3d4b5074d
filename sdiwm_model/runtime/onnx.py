"""A bundle executed by ONNX Runtime on one thread; torch is never imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.checkpoint import REMEDY, WEIGHTS, read_manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Array, Dynamics, Planner, PlannerSettings
from sdiwm_model.runtime.checks import as_floats, check_disagreement, check_image
from sdiwm_model.runtime.conditioning import Conditioner, takes_words
from sdiwm_model.runtime.observer import HostObserver
from sdiwm_model.runtime.protocols import Observer
from sdiwm_model.runtime.session import TENSORRT, no_tensorrt, open_session
from sdiwm_model.sizes import ModelSize

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ON_TENSORRT = "tensorrt"  # the variant


class OnnxDynamics:
    """The latent model as two graphs, step.onnx and heads.onnx, and prior.onnx with a prior."""

    def __init__(self, folder: Path, size: ModelSize, variant: str | None = None) -> None:
        self.action_size = size.action
        self._step = open_graph(folder, "step", variant)
        self._heads = open_graph(folder, "heads", variant)
        self._prior = open_graph(folder, "prior", variant) if size.prior else None

    def step(self, z: Array, a: Array, c: Array) -> Array:
        """z (N, Z), a (N, A), c (C,) -> next latents (N, Z)."""
        return self._advance(["next_z"], z, a, c)[0]

    def cost(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._heads.run(["cost"], {"z": z, "c": c[None]})[0]

    def value(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self._heads.run(["value"], {"z": z, "c": c[None]})[0]

    def prior(self, z: Array, c: Array) -> Array | None:
        """z (Z,), c (C,) -> (h, A), or None for a model without a prior."""
        if self._prior is None:
            return None
        return self._prior.run(["actions"], {"z": z[None], "c": c[None]})[0][0]

    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> (N,): sum of costs and weighted last value."""
        names = ["next_z", "cost", "value"] + (["disagreement"] if disagreement > 0.0 else [])
        latents = np.repeat(z[None], len(actions), axis=0)
        total = np.zeros(len(actions), np.float32)
        value = total
        for t in range(actions.shape[1]):
            latents, cost, value, *spread = self._advance(names, latents, actions[:, t], c)
            total = total + cost
            if spread:
                total = total + np.float32(disagreement) * spread[0]
        return total + np.float32(value_weight) * value

    def _advance(self, names: list[str], z: Array, a: Array, c: Array) -> list[Array]:
        return self._step.run(names, {"z": z, "a": np.ascontiguousarray(a), "c": c[None]})


class OnnxRuntime:
    """See runtime.protocols.Runtime. `native` shares its vision and its language.

    Args:
        variant: of the graphs, as `export.variants` writes them; graphs that have none are float.
            `tensorrt`: the float graphs by TensorRT, where a GPU and that library are.
    """

    backend = "onnx"

    def __init__(
        self,
        folder: Path,
        text_encoder: str | Path | None = None,
        variant: str | None = None,
    ) -> None:
        self.manifest = read_manifest(folder)
        self.folder, self._variant = folder, variant
        if variant == ON_TENSORRT:
            reason = no_tensorrt()
            if reason is not None:
                raise SdiwmError(f"{folder} cannot be run by TensorRT: {reason}")
        elif variant is not None and f"step.{variant}.onnx" not in self.manifest.files:
            raise SdiwmError(
                f"{folder} holds no variant '{variant}' of its ONNX graphs: make the bundle with "
                "that format in the recipe of `sdiwm compress`"
            )
        self._vision = open_graph(folder, "vision", variant)
        pictured = self.manifest.sizes.goal_image
        self._goal_image = open_session(folder / "goal_image.onnx") if pictured else None
        self._language = None if pictured else open_session(folder / "language.onnx")
        self._conditioner = Conditioner(self.manifest, self._ground, text_encoder)
        self._probe = _read_probe(folder / WEIGHTS)
        self._prepare()

    def _prepare(self) -> None:
        """Load what `native` executes in C++ instead."""
        self._fusion = open_session(self.folder / "fusion.onnx")
        self.dynamics: Dynamics = OnnxDynamics(self.folder, self.manifest.sizes, self._variant)

    def encode_image(self, image: NDArray[np.uint8]) -> Array:
        """image uint8 (H, W, 3 * cameras) -> features (E,)."""
        check_image(image, self.manifest.sizes.image_size, self.manifest.sizes.cameras)
        return self._vision.run(None, {"image": np.ascontiguousarray(image[None])})[0][0]

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) -> z (Z,)."""
        sizes = self.manifest.sizes
        features = as_floats("features", features, (sizes.frames * sizes.features,))
        proprio = as_floats("proprio", proprio, (sizes.proprio,))
        return self._fusion.run(None, {"features": features[None], "proprio": proprio[None]})[0][0]

    def make_observer(self) -> Observer:
        """Pictures and joints of an episode -> latents."""
        return HostObserver(self)

    def condition(self, instruction: str) -> Array:
        """A sentence -> c (C,); InstructionError where it names none of the goals."""
        return self._conditioner.condition(instruction)

    def condition_image(self, image: NDArray[np.uint8]) -> Array:
        """A picture of the goal, uint8 (H, W, 3 * cameras) -> c (C,)."""
        if self._goal_image is None:
            raise takes_words(self.manifest)
        return self._goal_image.run(["c"], {"features": self.encode_image(image)[None]})[0][0]

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """MPPI in numpy over ONNX Runtime."""
        check_disagreement(settings, self.manifest.sizes.ensemble)
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
        first, first_bias, last, last_bias = self._probe
        return np.maximum(z @ first.T + first_bias, 0.0) @ last.T + last_bias

    def _ground(self, tokens: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array]:
        assert self._language is not None
        c, grounding = self._language.run(["c", "grounding"], {"tokens": tokens, "mask": mask})
        return c, grounding


def open_graph(folder: Path, graph: str, variant: str | None) -> InferenceSession:
    """A graph's variant; the float graph where there is no such variant."""
    if variant == ON_TENSORRT:
        return open_session(folder / f"{graph}.onnx", TENSORRT)
    chosen = folder / f"{graph}.{variant}.onnx"
    exists = variant is not None and chosen.is_file()
    return open_session(chosen if exists else folder / f"{graph}.onnx")


def _read_probe(path: Path) -> tuple[Array, ...]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            names = ("probe.0.weight", "probe.0.bias", "probe.2.weight", "probe.2.bias")
            return tuple(weights.get_tensor(name) for name in names)
    except (SafetensorError, FileNotFoundError) as error:
        raise SdiwmError(f"{path} is damaged or has no probe ({error}); {REMEDY}") from None
