"""The seam between a bundle and whatever executes it (torch, ONNX Runtime, generated C++)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.planning.protocols import Array, Planner, PlannerSettings

if TYPE_CHECKING:
    from sdiwm_model.checkpoint import Manifest

HOST_BACKENDS = ("torch", "onnx", "native")
WAM_BACKENDS = ("wam", "wam+mppi")
"""Those that need a world-action model beside the world model; their latents are longer."""
BACKENDS = (*HOST_BACKENDS, *WAM_BACKENDS, "mcu")


class Observer(Protocol):
    """What one episode has shown so far. Methods raise SdiwmError on what is no such picture."""

    def see(self, image: NDArray[np.uint8]) -> float:
        """The next picture, one model step after the last where the model takes several.

        Returns the seconds that encoding it took, on whatever encodes.
        """
        ...

    def latent(self, proprio: Array) -> Array:
        """proprio (P,) -> z (Z,), with the pictures so far; `see` one first."""
        ...


@runtime_checkable
class Runtime(Protocol):
    """A loaded bundle. Methods raise SdiwmError on a wrong shape, dtype or a value not finite."""

    manifest: Manifest
    backend: str

    def encode_image(self, image: NDArray[np.uint8]) -> Array:
        """image uint8 (H, W, 3 * cameras) RGB -> features (E,); run at the camera's rate."""
        ...

    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), newest first, proprio (P,) -> latent z (Z,); run every tick."""
        ...

    def make_observer(self) -> Observer:
        """An observer that has seen nothing yet: `encode_image` and `fuse` of an episode."""
        ...

    def condition(self, instruction: str) -> Array:
        """A sentence -> c (C,); InstructionError where it names none of the goals.

        Raises SdiwmError where the model is told its goal by a picture.
        """
        ...

    def condition_image(self, image: NDArray[np.uint8]) -> Array:
        """A picture of the goal, uint8 (H, W, 3 * cameras) -> c (C,).

        Raises SdiwmError where the model is told its goal in words.
        """
        ...

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """A planner on this runtime's dynamics; the same seed gives the same plans."""
        ...

    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> imagined latents (T, Z)."""
        ...

    def probe(self, z: Array) -> Array:
        """latents (..., Z) -> linear estimate of the task's state (..., S), for pictures."""
        ...
