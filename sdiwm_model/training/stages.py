"""The losses of each training stage, composed from `losses`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from sdiwm_model.heads import PLACE
from sdiwm_model.losses import (
    cost_loss,
    drift_loss,
    inverse_dynamics_loss,
    likelihood_loss,
    places_loss,
    precise_readout_loss,
    readout_loss,
    saturation_loss,
    sketched_gaussian_loss,
    value_loss,
    variance_covariance_loss,
)
from sdiwm_model.training.batches import (
    Experience,
    Windows,
    all_with_history,
    draw_windows,
    frame_indices,
    other_moments,
)
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.drawing import Drawing, grey
from sdiwm_model.training.goals import Goals, draw_goals
from sdiwm_model.world_model import WorldModel

DRIFT_RAMP = 0.15  # share of the world stage over which the drift weight rises to its value
JOINTS_WEIGHT = 0.1  # of the joints read from a picture, beside the costs
READER = 256  # hidden width of the throw-away networks
SCENE_READER = 128  # of the one that reads every latent of a rollout


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
    """Image branch: from single pictures, read the joints, what every goal costs and where it is.

    Throw-away networks read the features, wider than the one that ships, so that the features
    become good before anything small has to use them. Costs are asked for here and elsewhere, see
    `losses.places_loss`. Places are read beside that: alone they would be a narrow teacher.
    """

    name = "vision"

    def __init__(self, model: WorldModel, data: Experience, config: TrainingConfig) -> None:
        self.steps, self.learning_rate = config.vision_steps, config.vision_learning_rate
        self._model, self._data, self._config = model, data, config
        self._episode = torch.repeat_interleave(torch.arange(len(data.lengths)), data.lengths)
        size = model.size
        self._costs = _reader(size.features + size.proprio, size.goals)
        self._cost = _reader(PLACE + size.proprio, 1)
        self._joints = _reader(size.features, size.proprio)
        self._drawing = Drawing(size) if config.picture_weight else nn.Identity()

    def modules(self) -> nn.ModuleDict:
        trained = {"vision": self._model.vision, "places": self._model.places}
        readers = {"costs": self._costs, "cost": self._cost, "joints": self._joints}
        return nn.ModuleDict(trained | readers | {"drawing": self._drawing})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        data, size = self._data, self._model.size
        chosen = frame_indices(len(data.frames), self._config.vision_batch, generator)
        features = self._model.vision(data.frames[chosen])
        normalise = self._model.fusion.normalise
        weights, parts = {}, {}
        if size.proprio:
            weights["joints"] = JOINTS_WEIGHT
            parts["joints"] = likelihood_loss(
                self._joints(features), normalise(data.proprio[chosen])
            )
        if self._config.picture_weight:
            weights["picture"] = self._config.picture_weight
            drawn, picture = self._drawing(features), grey(data.frames[chosen])
            parts["picture"] = likelihood_loss(drawn.reshape(-1, 1), picture.reshape(-1, 1))
        if not size.goal_image:
            asked, span = chosen[None], self._config.elsewhere_span
            if size.proprio and span:
                others = other_moments(data, self._episode[chosen], chosen, span, generator)
                asked = torch.cat([asked, others])
            joints = normalise(data.proprio[asked])
            told = torch.cat([features.expand(len(asked), -1, -1), joints], dim=-1)
            parts["cost"] = cost_loss(self._costs(told), data.cost[asked])
            places = self._model.places(features.detach()).unflatten(-1, (size.goals, PLACE))
            parts["places"] = places_loss(self._cost, places, joints, data.cost[asked])
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return Loss(total, parts)


class WorldStage:
    """Fusion, dynamics and heads, on sequences of cached image features."""

    name = "world"

    def __init__(
        self, model: WorldModel, data: Experience, features: Tensor, config: TrainingConfig
    ) -> None:
        self.steps, self.learning_rate = config.world_steps, config.world_learning_rate
        self._model, self._data, self._features, self._config = model, data, features, config
        size = model.size
        seen = all_with_history(data, features, size.frames)
        self._features_mean, self._features_std = seen.mean(dim=0), seen.std(dim=0) + 1e-3
        with torch.no_grad():
            places = model.places(features)
        self._places_mean, self._places_std = places.mean(dim=0), places.std(dim=0) + 1e-6
        self._state_mean, self._state_std = data.state.mean(dim=0), data.state.std(dim=0) + 1e-6
        self._inverse = _reader(2 * size.latent, size.action)
        self._places = nn.Linear(size.latent, size.goals * PLACE)
        self._state = nn.Linear(size.latent, size.state)
        self._scene = (
            nn.Sequential(
                nn.Linear(size.latent, SCENE_READER),
                nn.ReLU(),
                nn.Linear(SCENE_READER, size.frames * size.features),
            )
            if config.precise_scene
            else model.scene
        )

    def modules(self) -> nn.ModuleDict:
        names = ("fusion", "dynamics", "cost", "value", "joints", "scene", "goal_image")
        found = {name: getattr(self._model, name) for name in names}
        modules = {name: module for name, module in found.items() if module is not None}
        readers = {"inverse": self._inverse, "places": self._places, "state": self._state}
        return nn.ModuleDict(modules | {"scene": self._scene} | readers)

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        windows = self._windows(step, generator)
        goals = draw_goals(self._model, self._data, self._features, windows, generator)
        weights = self._weights(step / self.steps)
        terms = self._terms(windows, goals, generator)
        parts = {name: terms[name]() for name, weight in weights.items() if weight}
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return Loss(total, parts)

    def _windows(self, step: int, generator: torch.Generator) -> Windows:
        """Every fourth update sees long sequences, and half as many of them."""
        config = self._config
        long = step % 4 == 3
        batch = config.world_batch // 2 if long else config.world_batch
        horizon = config.long_horizon if long else config.horizon
        grown = min(1.0, (step + 1) / (config.curriculum * self.steps + 1))
        horizon = max(1, round(grown * horizon))
        frames = self._model.size.frames
        return draw_windows(self._data, self._features, batch, horizon, generator, frames)

    def _weights(self, progress: float) -> dict[str, float]:
        config, size = self._config, self._model.size
        return {
            "cost": 1.0,
            "predicted_cost": 1.0,
            "drift": min(1.0, 0.01 + progress / DRIFT_RAMP) * config.drift_weight,
            "joints": config.joints_weight if size.proprio else 0.0,
            "scene": config.scene_weight,
            "places": 0.0 if size.goal_image else config.places_weight,
            "inverse": config.inverse_weight,
            "state": config.state_weight,
            "anti_collapse": config.anti_collapse_weight,
            "saturation": config.saturation_weight,
            "value": config.value_weight,
        }

    def _terms(
        self, windows: Windows, goals: Goals, generator: torch.Generator
    ) -> dict[str, Callable[[], Tensor]]:
        """Each loss of one batch, computed when called.

        The cost is learned on every latent, real and predicted; the transition sees the first goal
        of each sequence.
        """
        model, config = self._model, self._config
        before = model.fusion.before_tanh(windows.features, windows.proprio)
        real = torch.tanh(before)
        predicted = model.rollout(real[:, 0], windows.action[:, :-1], goals.c[:, 0])
        every, cost = goals.c.unsqueeze(1), goals.cost.unsqueeze(-1)
        joints = model.fusion.normalise(windows.proprio)
        scene = (windows.features - self._features_mean) / self._features_std
        state = (windows.state - self._state_mean) / self._state_std
        return {
            "cost": lambda: cost_loss(model.cost.all(real.unsqueeze(-2), every), cost),
            "predicted_cost": lambda: cost_loss(
                model.cost.all(predicted.unsqueeze(-2), every), cost[:, 1:]
            ),
            "drift": lambda: drift_loss(predicted, real[:, 1:], config.drift_discount),
            "joints": lambda: readout_loss(model.joints, real, predicted, joints),
            "scene": lambda: self._scene_loss(real, predicted, scene),
            "places": lambda: readout_loss(self._places, real, predicted, self._where(windows)),
            "inverse": lambda: inverse_dynamics_loss(self._inverse, real, windows.action),
            "state": lambda: readout_loss(self._state, real, predicted, state),
            "anti_collapse": lambda: (
                sketched_gaussian_loss(before, generator)
                if config.anti_collapse == "sigreg"
                else variance_covariance_loss(real)
            ),
            "saturation": lambda: saturation_loss(before),
            "value": lambda: value_loss(
                model.value(real.detach().unsqueeze(-2), every.detach()),
                goals.cost.detach(),
                config.discount,
            ),
        }

    def _scene_loss(self, real: Tensor, predicted: Tensor, scene: Tensor) -> Tensor:
        loss = precise_readout_loss if self._config.precise_scene else readout_loss
        return loss(self._scene, real, predicted, scene)

    @torch.no_grad()
    def _where(self, windows: Windows) -> Tensor:
        """Where each goal is in the newest pictures, normalised, (B, K + 1, G * PLACE)."""
        newest = windows.features[..., : self._model.size.features]
        return (self._model.places(newest) - self._places_mean) / self._places_std


def _reader(inward: int, outward: int) -> nn.Sequential:
    """A throw-away network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inward, READER),
        nn.ReLU(),
        nn.Linear(READER, READER),
        nn.ReLU(),
        nn.Linear(READER, outward),
    )
