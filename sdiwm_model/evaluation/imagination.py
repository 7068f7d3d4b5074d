"""Recorded episodes as latents, and what a model imagines from their first observation on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sdiwm_model.data.episodes import Episode
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import Array
from sdiwm_model.runtime.protocols import Runtime


@dataclass(frozen=True)
class Encoded:
    """E episodes of L steps, each (E, L, width), and the goal of each (E,)."""

    latents: Array
    features: Array
    proprio: Array
    actions: Array
    state: Array
    goals: np.ndarray


def encode(
    runtime: Runtime, episodes: Iterable[Episode], on_episode: Callable[[], object] = lambda: None
) -> Encoded:
    """Encode every picture of every episode; longer episodes are cut to the shortest one.

    Raises:
        SdiwmError: there is no episode.
    """
    columns: dict[str, list[Array]] = {
        name: [] for name in ("latents", "features", "proprio", "actions", "state")
    }
    goals = []
    for episode in episodes:
        features = np.stack([runtime.encode_image(frame) for frame in episode.frames])
        pairs = zip(features, episode.proprio, strict=True)
        columns["latents"].append(np.stack([runtime.fuse(e, p) for e, p in pairs]))
        columns["features"].append(features)
        columns["proprio"].append(episode.proprio)
        columns["actions"].append(episode.action)
        columns["state"].append(episode.state)
        goals.append(episode.goal)
        on_episode()
    if not goals:
        raise SdiwmError("the data folder holds no episodes: collect some with `sdiwm collect`")
    length = min(len(latents) for latents in columns["latents"])
    cut = {name: np.stack([a[:length] for a in arrays]) for name, arrays in columns.items()}
    return Encoded(**cut, goals=np.array(goals))


def spread_starts(length: int, horizon: int, count: int) -> np.ndarray:
    """`count` evenly spread first steps from which ``horizon`` steps fit into an episode.

    Raises:
        SdiwmError: not even one fits.
    """
    if length < horizon + 1:
        raise SdiwmError(
            f"a horizon of {horizon} needs episodes of {horizon + 1} steps, the shortest has "
            f"{length}: collect longer ones (--steps) or lower --horizon"
        )
    return np.unique(np.linspace(0, length - 1 - horizon, count).astype(int))


def windows(values: Array, first: np.ndarray, steps: int) -> Array:
    """values (E, L, X) from every first step on: (E, S, steps, X)."""
    return np.stack([values[:, start : start + steps] for start in first], axis=1)


def starting_latents(runtime: Runtime, encoded: Encoded, starts: np.ndarray) -> Array:
    """What the runtime itself makes of the float features at the starts: (E, S, Z)."""
    rows = [
        [runtime.fuse(episode[t], joints[t]) for t in starts]
        for episode, joints in zip(encoded.features, encoded.proprio, strict=True)
    ]
    return np.array(rows, np.float32)


def imagine(runtime: Runtime, first: Array, actions: Array, conditionings: Array) -> Array:
    """Open loop: first (E, S, Z), actions (E, S, T, A), conditionings (E, C) -> (E, S, T, Z)."""
    rows = [
        [
            runtime.rollout(z, np.ascontiguousarray(moves), c)
            for z, moves in zip(first[e], actions[e], strict=True)
        ]
        for e, c in enumerate(conditionings)
    ]
    return np.array(rows, np.float32)
