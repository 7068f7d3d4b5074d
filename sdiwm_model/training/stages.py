"""The losses of each training stage, composed from `losses`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.language import goal_codes
from sdiwm_model.losses import (
    cost_loss,
    drift_loss,
    saturation_loss,
    value_loss,
    variance_covariance_loss,
)
from sdiwm_model.training.batches import Experience, Windows, draw_windows, frame_indices
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.world_model import WorldModel

DRIFT_RAMP = 0.15  # share of the world stage over which the drift weight rises to its value


@dataclass(frozen=True)
class Loss:
    """The number to minimise, and its parts for the log."""

    total: Tensor
    parts: dict[str, Tensor]


class Stage(Protocol):
    """One phase of training with an optimiser of its own."""

    name: str
    steps: int
    learning_rate: float

    def modules(self) -> nn.ModuleDict:
        """What is trained."""

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        """Draw a batch and compute the loss of update ``step``."""


class VisionStage:
    """Image branch: predict every goal's cost from one frame and the joints.

    A throw-away network reads the features, wider than the one that ships, so that the features
    become good before anything small has to use them.
    """

    name = "vision"

    def __init__(self, model: WorldModel, data: Experience, config: TrainingConfig) -> None:
        self.steps, self.learning_rate = config.vision_steps, config.vision_learning_rate
        self._model, self._data, self._batch = model, data, config.vision_batch
        size = model.size
        self._reader = nn.Sequential(
            nn.Linear(size.features + size.proprio, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, size.goals),
        )

    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"vision": self._model.vision, "reader": self._reader})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        chosen = frame_indices(len(self._data.frames), self._batch, generator)
        features = self._model.vision(self._data.frames[chosen])
        joints = self._model.fusion.normalise(self._data.proprio[chosen])
        predicted = self._reader(torch.cat([features, joints], dim=-1))
        total = cost_loss(predicted, self._data.cost[chosen])
        return Loss(total, {"cost": total})


class WorldStage:
    """Fusion, dynamics and heads, on sequences of cached image features."""

    name = "world"

    def __init__(
        self, model: WorldModel, data: Experience, features: Tensor, config: TrainingConfig
    ) -> None:
        self.steps, self.learning_rate = config.world_steps, config.world_learning_rate
        self._model, self._data, self._features, self._config = model, data, features, config
        self._features_mean, self._features_std = features.mean(dim=0), features.std(dim=0) + 1e-3
        self._state_mean, self._state_std = data.state.mean(dim=0), data.state.std(dim=0)
        self._codes = goal_codes(model.size.goals, model.size.conditioning)

    def modules(self) -> nn.ModuleDict:
        names = ("fusion", "dynamics", "cost", "value", "joints", "scene", "probe")
        return nn.ModuleDict({name: getattr(self._model, name) for name in names})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        config = self._config
        long = step % 4 == 3
        horizon = config.long_horizon if long else config.horizon
        batch = config.world_batch // 2 if long else config.world_batch
        windows = draw_windows(self._data, self._features, batch, horizon, generator)
        goals = torch.randint(len(self._codes), (batch,), generator=generator)
        parts = self._parts(windows, self._codes[goals])
        ramp = min(1.0, step / (DRIFT_RAMP * self.steps))
        total = (
            parts["cost"]
            + parts["predicted_cost"]
            + ramp * config.drift_weight * parts["drift"]
            + config.joints_weight * parts["joints"]
            + config.scene_weight * parts["scene"]
            + config.state_weight * parts["state"]
            + config.anti_collapse_weight * parts["anti_collapse"]
            + config.saturation_weight * parts["saturation"]
            + config.value_weight * parts["value"]
        )
        return Loss(total, parts)

    def _parts(self, windows: Windows, c: Tensor) -> dict[str, Tensor]:
        """The losses of one batch; c (B, C) is each sequence's own goal.

        The cost is learned for all goals on every latent, real and predicted.
        """
        model, codes = self._model, self._codes
        before = model.fusion.before_tanh(windows.features, windows.proprio)
        real = torch.tanh(before)
        predicted = model.rollout(real[:, 0], windows.action[:, :-1], c)
        joints = model.fusion.normalise(windows.proprio)
        scene = (windows.features - self._features_mean) / self._features_std
        state = (windows.state - self._state_mean) / self._state_std
        value = model.value(real.detach().unsqueeze(-2), codes)
        return {
            "drift": drift_loss(predicted, real[:, 1:]),
            "cost": cost_loss(model.cost(real.unsqueeze(-2), codes), windows.cost),
            "predicted_cost": cost_loss(
                model.cost(predicted.unsqueeze(-2), codes), windows.cost[:, 1:]
            ),
            "joints": functional.mse_loss(model.joints(real), joints)
            + functional.mse_loss(model.joints(predicted), joints[:, 1:]),
            "scene": functional.mse_loss(model.scene(real), scene)
            + functional.mse_loss(model.scene(predicted), scene[:, 1:]),
            "state": functional.mse_loss(model.probe(real), state)
            + functional.mse_loss(model.probe(predicted), state[:, 1:]),
            "anti_collapse": variance_covariance_loss(real),
            "saturation": saturation_loss(before),
            "value": value_loss(
                value[:, :-1], windows.cost[:, :-1], value[:, 1:], self._config.discount
            ),
        }
