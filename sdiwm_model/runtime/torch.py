"""A bundle executed by torch in float32: the reference for every other back end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdiwm_model.checkpoint import load_model
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Array, Planner, PlannerSettings
from sdiwm_model.runtime.checks import as_floats, check_disagreement, check_image
from sdiwm_model.runtime.conditioning import Conditioner, takes_words
from sdiwm_model.runtime.observer import HostObserver
from sdiwm_model.runtime.protocols import Observer
from sdiwm_model.world_model import WorldModel


class TorchDynamics:
    """A world model's dynamics and heads behind numpy arrays.

    Args:
        device: of torch, where the model is moved and all is computed.
    """

    def __init__(self, model: WorldModel, device: str = "cpu") -> None:
        self.model = model.to(device)
        self.action_size = model.size.action
        self._device = device

    @torch.inference_mode()
    def step(self, z: Array, a: Array, c: Array) -> Array:
        """z (N, Z), a (N, A), c (C,) -> next latents (N, Z)."""
        goal = self._tensor(c).expand(len(z), -1)
        return self.model.dynamics(self._tensor(z), self._tensor(a), goal).cpu().numpy()

    @torch.inference_mode()
    def cost(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self.model.cost(self._tensor(z), self._tensor(c)).cpu().numpy()

    @torch.inference_mode()
    def value(self, z: Array, c: Array) -> Array:
        """z (N, Z), c (C,) -> (N,)."""
        return self.model.value(self._tensor(z), self._tensor(c)).cpu().numpy()

    @torch.inference_mode()
    def prior(self, z: Array, c: Array) -> Array | None:
        """z (Z,), c (C,) -> (h, A), or None for a model without a prior."""
        if self.model.prior is None:
            return None
        return self.model.prior(self._tensor(z), self._tensor(c)).cpu().numpy()

    @torch.inference_mode()
    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        """z (Z,), actions (N, H, A), c (C,) -> (N,): sum of costs and weighted last value."""
        count = len(actions)
        goal = self._tensor(c)
        latents = self._tensor(z).expand(count, -1)
        goals = goal.expand(count, -1)
        total = torch.zeros(count, device=self._device)
        for action in self._tensor(actions).unbind(1):
            latents = self.model.dynamics(latents, action, goals)
            costs = self.model.cost.all(latents, goal)
            total = total + costs.mean(dim=-1)
            if disagreement > 0.0:
                total = total + disagreement * costs.std(dim=-1, unbiased=False)
        return (total + value_weight * self.model.value(latents, goal)).cpu().numpy()

    def _tensor(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(x).to(self._device)


class TorchRuntime:
    """See runtime.protocols.Runtime."""

    backend = "torch"

    def __init__(self, folder: Path, text_encoder: str | Path | None = None) -> None:
        self.model, self.manifest = load_model(folder)
        self.dynamics = TorchDynamics(self.model)
        self._conditioner = Conditioner(self.manifest, self._ground, text_encoder)

    @torch.inference_mode()
    def encode_image(self, image: NDArray[np.uint8]) -> Array:
        """image uint8 (H, W, 3 * cameras) -> features (E,)."""
        check_image(image, self.manifest.sizes.image_size, self.manifest.sizes.cameras)
        return self.model.vision(torch.from_numpy(np.array(image[None]))).numpy()[0]

    @torch.inference_mode()
    def fuse(self, features: Array, proprio: Array) -> Array:
        """features (frames * E,), proprio (P,) -> z (Z,)."""
        sizes = self.manifest.sizes
        features = as_floats("features", features, (sizes.frames * sizes.features,))
        proprio = as_floats("proprio", proprio, (sizes.proprio,))
        return self.model.fusion(torch.tensor(features), torch.tensor(proprio)).numpy()

    def make_observer(self) -> Observer:
        """Pictures and joints of an episode -> latents."""
        return HostObserver(self)

    def condition(self, instruction: str) -> Array:
        """A sentence -> c (C,); InstructionError where it names none of the goals."""
        return self._conditioner.condition(instruction)

    @torch.inference_mode()
    def condition_image(self, image: NDArray[np.uint8]) -> Array:
        """A picture of the goal, uint8 (H, W, 3 * cameras) -> c (C,)."""
        if self.model.goal_image is None:
            raise takes_words(self.manifest)
        return self.model.goal_image(torch.from_numpy(self.encode_image(image))).numpy()

    def make_planner(self, settings: PlannerSettings, seed: int) -> Planner:
        """MPPI in numpy over torch."""
        check_disagreement(settings, self.manifest.sizes.ensemble)
        return Mppi(self.dynamics, settings, seed)

    @torch.inference_mode()
    def rollout(self, z: Array, actions: Array, c: Array) -> Array:
        """z (Z,), actions (T, A), c (C,) -> latents (T, Z)."""
        sizes = self.manifest.sizes
        z = as_floats("z", z, (sizes.latent,))
        actions = as_floats("actions", actions, (None, sizes.action))
        c = as_floats("c", c, (sizes.conditioning,))
        if not len(actions):
            return np.empty((0, sizes.latent), np.float32)
        inputs = (torch.tensor(x[None]) for x in (z, actions, c))
        return self.model.rollout(*inputs).numpy()[0]

    @torch.inference_mode()
    def probe(self, z: Array) -> Array:
        """latents (..., Z) -> (..., S)."""
        return self.model.probe(torch.tensor(z)).numpy()

    @torch.inference_mode()
    def _ground(self, tokens: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array]:
        assert self.model.language is not None
        c, grounding = self.model.language(torch.from_numpy(tokens), torch.from_numpy(mask))
        return c.numpy(), grounding.numpy()
