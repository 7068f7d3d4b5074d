"""Recorded episodes as latents, and what a model imagines from their first observation on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from sdiwm_model.data.episodes import Episode
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import Array
from sdiwm_model.runtime.history import FeatureHistory
from sdiwm_model.runtime.protocols import Runtime


@dataclass(frozen=True)
class Encoded:
    """E episodes of L steps, each (E, L, width).

    features  what `Runtime.fuse` takes: of several pictures where the model sees several
    goals     (E,) index of each episode's goal
    pictures  (E, H, W, 3 * cameras) uint8, the last one of each episode
    frames    pictures that a latent sees; before the first one that one is repeated
    """

    latents: Array
    features: Array
    proprio: Array
    actions: Array
    state: Array
    goals: np.ndarray
    pictures: np.ndarray
    frames: int = 1


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
    goals, pictures = [], []
    frames = runtime.manifest.sizes.frames
    for episode in episodes:
        history = FeatureHistory(frames)
        features = [history.add(runtime.encode_image(frame)) for frame in episode.frames]
        pairs = zip(features, episode.proprio, strict=True)
        columns["latents"].append(np.stack([runtime.fuse(e, p) for e, p in pairs]))
        columns["features"].append(np.stack(features))
        columns["proprio"].append(episode.proprio)
        columns["actions"].append(episode.action)
        columns["state"].append(episode.state)
        goals.append(episode.goal)
        pictures.append(episode.frames[-1].copy())
        on_episode()
    if not goals:
        raise SdiwmError("the data folder holds no episodes: collect some with `sdiwm collect`")
    length = min(len(latents) for latents in columns["latents"])
    cut = {name: np.stack([a[:length] for a in arrays]) for name, arrays in columns.items()}
    return Encoded(**cut, goals=np.array(goals), pictures=np.stack(pictures), frames=frames)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Several encoded sets of episodes of one length as one."""
    names = [field.name for field in fields(Encoded) if field.name != "frames"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Encoded(**columns, frames=parts[0].frames)


def spread_starts(length: int, horizon: int, count: int, first: int = 0) -> np.ndarray:
    """`count` evenly spread steps, from ``first`` on, that ``horizon`` steps of an episode follow.

    Raises:
        SdiwmError: not even one fits.
    """
    needed = first + horizon + 1
    if length < needed:
        raise SdiwmError(
            f"a horizon of {horizon} needs episodes of {needed} steps, the shortest has "
            f"{length}: collect longer ones (--steps) or lower --horizon"
        )
    return np.unique(np.linspace(first, length - 1 - horizon, count).astype(int))


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


def conditionings(runtime: Runtime, encoded: Encoded, sentences: Sequence[str], seed: int) -> Array:
    """c (E, C) of every episode, by the plainest of ``sentences``, one a goal.

    A model that is told its goal by a picture is shown one of another episode: a later one of
    the same would tell it the future that it is to predict.
    """
    if runtime.manifest.sizes.goal_image:
        other = other_episodes(len(encoded.pictures), seed)
        return np.stack([runtime.condition_image(encoded.pictures[e]) for e in other])
    by_goal = {goal: runtime.condition(sentences[goal]) for goal in np.unique(encoded.goals)}
    return np.stack([by_goal[goal] for goal in encoded.goals])


def other_episodes(count: int, seed: int) -> np.ndarray:
    """For each of ``count`` episodes another one, each taken once: (count,) indices.

    Raises:
        ValueError: there is no other.
    """
    if count < 2:
        raise ValueError("one episode has no other")
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, int)
    other[order] = np.roll(order, 1)
    return other
