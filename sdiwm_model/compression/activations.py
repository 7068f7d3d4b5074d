"""What every layer of a model takes in along rollouts: what quantisation is calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import actions_to_int8, latent_from_q15, latent_to_q15
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.errors import SdiwmError

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


@dataclass(frozen=True)
class Calibration:
    """What is measured on.

    latents        (N, Z) latents of real observations, where rollouts begin
    actions        (N, T, A) actions recorded from there on
    conditionings  (M, C) of training instructions
    features       (F, E) and
    proprio        (F, P) inputs of the fusion network
    """

    latents: Floats
    actions: Floats
    conditionings: Floats
    features: Floats
    proprio: Floats

    def check(self) -> None:
        """SdiwmError for shapes that contradict each other, and for what is not finite."""
        latents, actions = self.latents, self.actions
        if (
            latents.ndim != 2
            or actions.ndim != 3
            or len(latents) != len(actions)
            or not len(latents)
        ):
            raise SdiwmError(
                f"Calibration needs latents (N, Z) and actions (N, T, A) with the same N > 0, not "
                f"{latents.shape} and {actions.shape}."
            )
        for name, array in vars(self).items():
            if not len(array) or not np.isfinite(array).all():
                raise SdiwmError(
                    f"Calibration field '{name}' is empty or not finite: check the data."
                )


@dataclass(frozen=True)
class Rollouts:
    """Where rollouts begin and what they follow: half recorded actions, half planner-like noise.

    starts (N, Z), actions (N, T, A), conditionings (N, C).
    """

    starts: Floats
    actions: Floats
    conditionings: Floats

    @staticmethod
    def draw(calibration: Calibration, seed: int) -> Rollouts:
        """Both kinds of actions from each latent, each with an instruction drawn at random."""
        rng = np.random.default_rng(seed)
        actions = np.concatenate([calibration.actions, _planner_like(calibration.actions, rng)])
        starts = np.concatenate([calibration.latents, calibration.latents])
        told = rng.integers(len(calibration.conditionings), size=len(starts))
        return Rollouts(starts, actions, calibration.conditionings[told])

    def by_float(self, weights: Weights) -> Floats:
        """Latents (T + 1, N, Z) that the float model visits, the start included."""
        visited = [self.starts]
        for t in range(self.actions.shape[1]):
            visited.append(float_step(weights, visited[-1], self.actions[:, t], self.conditionings))
        return np.stack(visited)

    def some(self, chosen: slice) -> Rollouts:
        """A part of the rollouts."""
        return Rollouts(self.starts[chosen], self.actions[chosen], self.conditionings[chosen])

    def prolonged(self, times: int, seed: int) -> Rollouts:
        """The same starts, ``times`` as many steps: each goes on with the actions of others."""
        rng = np.random.default_rng(seed)
        more = [self.actions[rng.permutation(len(self.starts))] for _ in range(times - 1)]
        actions = np.concatenate([self.actions, *more], axis=1)
        return Rollouts(self.starts, actions, self.conditionings)

    def and_others(self, other: Rollouts) -> Rollouts:
        """These and others, as long as the shorter ones are."""
        steps = min(self.actions.shape[1], other.actions.shape[1])
        return Rollouts(
            np.concatenate([self.starts, other.starts]),
            np.concatenate([self.actions[:, :steps], other.actions[:, :steps]]),
            np.concatenate([self.conditionings, other.conditionings]),
        )

    def by_integers(self, q: QuantisedModel) -> Floats:
        """The same by the integer model, one goal at a time."""
        model = IntegerModel(q)
        visited = np.empty((self.actions.shape[1] + 1, *self.starts.shape), np.float32)
        visited[0] = self.starts
        for conditioning, chosen in by_goal(self.conditionings):
            start = latent_to_q15(self.starts[chosen])
            path = model.rollout(
                model.goal(conditioning), start, actions_to_int8(self.actions[chosen])
            )
            visited[1:, chosen] = latent_from_q15(path.swapaxes(0, 1))
        return visited


@dataclass(frozen=True)
class Activations:
    """Inputs of the layers of one step and of the heads, a row each time and rollout.

    latents (R, Z) and actions (R, A) go into the input layer, hidden (R, D) comes out of it;
    heads: the hidden layer (R, H) of "cost", "value" and, where there is one, "prior".
    """

    latents: Floats
    actions: Floats
    hidden: Floats
    heads: dict[str, Floats]

    @staticmethod
    def along(weights: Weights, visited: Floats, rollouts: Rollouts) -> Activations:
        """Of the float layers at the latents ``visited`` (T + 1, N, Z), the last one left out."""
        steps = rollouts.actions.shape[1]
        latents = visited[:-1].reshape(-1, visited.shape[-1])
        actions = rollouts.actions.swapaxes(0, 1).reshape(len(latents), -1)
        c = np.tile(rollouts.conditionings, (steps, 1))
        heads = {
            head: _head_hidden(weights, head, latents, c)
            for head in ("cost", "value", "prior")
            if f"{head}.input.weight" in weights
        }
        return Activations(latents, actions, _hidden(weights, latents, actions, c), heads)


def by_goal(conditionings: Floats) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
    """Each distinct row of conditionings (N, C), and which rows (N,) it is."""
    distinct, goal_of = np.unique(conditionings, axis=0, return_inverse=True)
    for index, conditioning in enumerate(distinct):
        yield conditioning, goal_of.ravel() == index


def fusion_activations(weights: Weights, calibration: Calibration) -> list[Floats]:
    """Inputs (F, ...) of the three layers of the fusion network."""
    mean, std = weights["fusion.proprio_mean"], weights["fusion.proprio_std"]
    x = np.concatenate([calibration.features, (calibration.proprio - mean) / std], axis=1)
    first = np.maximum(_linear(weights, "fusion.0", x), 0)
    return [x, first, np.maximum(_linear(weights, "fusion.1", first), 0)]


def float_head(weights: Weights, head: str, z: Floats, c: Floats) -> Floats:
    """What "cost" or "value" says of z (N, Z) under c (N, C): (N,)."""
    return _linear(weights, f"{head}.output", _head_hidden(weights, head, z, c)).mean(axis=1)


def float_step(weights: Weights, z: Floats, a: Floats, c: Floats) -> Floats:
    """One float model step: z (N, Z), a (N, A), c (N, C) -> (N, Z)."""
    x = _hidden(weights, z, a, c)
    xr, xu, xn = np.split(_linear(weights, "dynamics.gru_input", x), 3, axis=1)
    hr, hu, hn = np.split(_linear(weights, "dynamics.gru_hidden", z), 3, axis=1)
    u = _sigmoid(xu + hu)
    n = np.tanh(xn + _sigmoid(xr + hr) * hn)
    return ((1 - u) * n + u * z).astype(np.float32)


def _planner_like(actions: Floats, rng: np.random.Generator) -> Floats:
    """AR(1) noise around constant actions, as MPPI proposes it; same shape as `actions`."""
    n, steps, width = actions.shape
    noise = rng.standard_normal((n, steps, width))
    for t in range(1, steps):
        noise[:, t] = 0.7 * noise[:, t - 1] + np.sqrt(1 - 0.7**2) * noise[:, t]
    centre = rng.uniform(-1, 1, (n, 1, width))
    return np.clip(centre + 0.5 * noise, -1, 1).astype(np.float32)


def _linear(weights: Weights, name: str, x: Floats) -> Floats:
    result: Floats = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return result


def _sigmoid(x: Floats) -> Floats:
    return (0.5 + 0.5 * np.tanh(0.5 * x)).astype(np.float32)


def _hidden(weights: Weights, z: Floats, a: Floats, c: Floats) -> Floats:
    return np.maximum(_linear(weights, "dynamics.input", np.concatenate([z, a, c], axis=1)), 0)


def _head_hidden(weights: Weights, head: str, z: Floats, c: Floats) -> Floats:
    gain = _sigmoid(_linear(weights, f"{head}.gain", c))
    shift = _linear(weights, f"{head}.shift", c)
    return np.maximum(gain * (z @ weights[f"{head}.input.weight"].T) + shift, 0)
