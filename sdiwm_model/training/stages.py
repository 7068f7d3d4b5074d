"""The losses of each training stage, composed from `losses`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.losses import (
    cost_loss,
    drift_loss,
    elsewhere_loss,
    inverse_dynamics_loss,
    readout_loss,
    saturation_loss,
    sketched_gaussian_loss,
    value_loss,
    variance_covariance_loss,
)
from sdiwm_model.training.batches import Experience, Windows, draw_windows, frame_indices
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.goals import Goals, draw_goals
from sdiwm_model.world_model import WorldModel

DRIFT_RAMP = 0.15  # share of the world stage over which the drift weight rises to its value
READER = 256  # hidden width of the throw-away networks that read image features
WORLD_READER = 128  # and of those that read latents


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
    """Image branch: from single pictures, read the joints, and with them every goal's cost.

    Throw-away networks read the features, wider than the one that ships, so that the features
    become good before anything small has to use them.
    """

    name = "vision"

    def __init__(self, model: WorldModel, data: Experience, config: TrainingConfig) -> None:
        self.steps, self.learning_rate = config.vision_steps, config.vision_learning_rate
        self._model, self._data, self._batch = model, data, config.vision_batch
        size = model.size
        self._cost = _reader(size.features + size.proprio, READER, size.goals)
        self._joints = _reader(size.features, READER, size.proprio)

    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict(
            {"vision": self._model.vision, "cost": self._cost, "joints": self._joints}
        )

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        chosen = frame_indices(len(self._data.frames), self._batch, generator)
        features = self._model.vision(self._data.frames[chosen])
        joints = self._model.fusion.normalise(self._data.proprio[chosen])
        parts = {}
        if self._model.size.proprio:
            parts["joints"] = functional.mse_loss(self._joints(features), joints)
        if self._model.goal_image is None:
            predicted = self._cost(torch.cat([features, joints], dim=-1))
            parts["cost"] = cost_loss(predicted, self._data.cost[chosen])
        return Loss(torch.stack(list(parts.values())).sum(), parts)


class WorldStage:
    """Fusion, dynamics and heads, on sequences of cached image features."""

    name = "world"

    def __init__(
        self, model: WorldModel, data: Experience, features: Tensor, config: TrainingConfig
    ) -> None:
        self.steps, self.learning_rate = config.world_steps, config.world_learning_rate
        self._model, self._data, self._features, self._config = model, data, features, config
        size = model.size
        self._features_mean = features.mean(dim=0).repeat(size.frames)
        self._features_std = features.std(dim=0).repeat(size.frames) + 1e-3
        self._state_mean, self._state_std = data.state.mean(dim=0), data.state.std(dim=0) + 1e-6
        self._inverse = _reader(2 * size.latent, WORLD_READER, size.action)
        self._elsewhere = _reader(size.latent + size.proprio, WORLD_READER, size.goals)

    def modules(self) -> nn.ModuleDict:
        names = ("fusion", "dynamics", "cost", "value", "joints", "scene", "probe", "goal_image")
        found = {name: getattr(self._model, name) for name in names}
        modules = {name: module for name, module in found.items() if module is not None}
        return nn.ModuleDict(modules | {"inverse": self._inverse, "elsewhere": self._elsewhere})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        config = self._config
        long = step % 4 == 3
        horizon = config.long_horizon if long else config.horizon
        batch = config.world_batch // 2 if long else config.world_batch
        windows = draw_windows(
            self._data, self._features, batch, horizon, generator, self._model.size.frames
        )
        goals = draw_goals(self._model, self._data, self._features, windows, generator)
        parts = self._parts(windows, goals, generator)
        ramp = min(1.0, step / (DRIFT_RAMP * self.steps))
        weights = {
            "cost": 1.0,
            "predicted_cost": 1.0,
            "drift": ramp * config.drift_weight,
            "joints": config.joints_weight,
            "scene": config.scene_weight,
            "inverse": config.inverse_weight,
            "elsewhere": config.elsewhere_weight,
            "state": config.state_weight,
            "anti_collapse": config.anti_collapse_weight,
            "saturation": config.saturation_weight,
            "value": config.value_weight,
        }
        return Loss(
            torch.stack([weights[name] * part for name, part in parts.items()]).sum(), parts
        )

    def _parts(
        self, windows: Windows, goals: Goals, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The losses of one batch. The cost is learned for all goals on every latent, real and
        predicted; the transition sees one goal a sequence.
        """
        model = self._model
        before = model.fusion.before_tanh(windows.features, windows.proprio)
        real = torch.tanh(before)
        chosen = torch.randint(goals.c.shape[1], (len(real),), generator=generator)
        c = goals.c.expand(len(real), -1, -1)[torch.arange(len(real)), chosen]
        predicted = model.rollout(real[:, 0], windows.action[:, :-1], c)
        every, cost = goals.c.unsqueeze(1), goals.cost.unsqueeze(-1)
        value = model.value(real.detach().unsqueeze(-2), every.detach())
        scene = (windows.features - self._features_mean) / self._features_std
        parts = {
            "drift": drift_loss(predicted, real[:, 1:]),
            "cost": cost_loss(model.cost.all(real.unsqueeze(-2), every), cost),
            "predicted_cost": cost_loss(
                model.cost.all(predicted.unsqueeze(-2), every), cost[:, 1:]
            ),
            "scene": readout_loss(model.scene, real, predicted, scene),
            "inverse": inverse_dynamics_loss(self._inverse, real, windows.action),
            "anti_collapse": self._anti_collapse(real, before, generator),
            "saturation": saturation_loss(before),
            "value": value_loss(
                value[:, :-1], goals.cost[:, :-1].detach(), value[:, 1:], self._config.discount
            ),
        }
        if self._config.state_weight:
            state = (windows.state - self._state_mean) / self._state_std
            parts["state"] = readout_loss(model.probe, real, predicted, state)
        if model.size.proprio:
            joints = model.fusion.normalise(windows.proprio)
            parts["joints"] = readout_loss(model.joints, real, predicted, joints)
            if model.goal_image is None:
                other = torch.randint(real.shape[1], real.shape[:2], generator=generator)
                parts["elsewhere"] = elsewhere_loss(
                    self._elsewhere, real, joints, windows.cost, other
                )
        return parts

    def _anti_collapse(self, real: Tensor, before: Tensor, generator: torch.Generator) -> Tensor:
        if self._config.anti_collapse == "sigreg":
            return sketched_gaussian_loss(before, generator)
        return variance_covariance_loss(real)


def _reader(inward: int, hidden: int, outward: int) -> nn.Sequential:
    """A throw-away network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inward, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outward),
    )
