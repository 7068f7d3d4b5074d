"""Everything that is said of one model's horizon, from encoded episodes and a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdiwm_model.evaluation import baselines, horizon
from sdiwm_model.evaluation.horizon import Array, Whitening
from sdiwm_model.evaluation.imagination import (
    Encoded,
    imagine,
    spread_starts,
    starting_latents,
    windows,
)
from sdiwm_model.report import bootstrap_interval
from sdiwm_model.runtime.protocols import Runtime

STARTS = 4


@dataclass(frozen=True)
class Study:
    """Data that several models of one encoder are judged on.

    training, heldout  episodes encoded by the float encoder: targets of every block
    steps              T
    seeds              of the shuffles; also how the held-out episodes are grouped
    groups             (E,) index into `seeds` of each held-out episode
    task               facts of the data manifest
    """

    training: Encoded
    heldout: Encoded
    steps: int
    seeds: Sequence[int]
    groups: np.ndarray
    task: dict[str, Any]

    @property
    def starts(self) -> np.ndarray:
        """First steps of the rollouts, the same in every episode, (S,)."""
        return spread_starts(self.heldout.latents.shape[1], self.steps, STARTS)

    @property
    def true(self) -> Array:
        """The latents to predict, (E, S, T, Z)."""
        return windows(self.heldout.latents, self.starts + 1, self.steps)

    @property
    def actions(self) -> Array:
        """The recorded actions, (E, S, T, A)."""
        return windows(self.heldout.actions, self.starts, self.steps)


def assess(runtime: Runtime, study: Study) -> dict[str, Any]:
    """The block of one model: HRI for T = 1..steps, and what stands beside it at the last T."""
    whitening = Whitening.fit(study.training.latents)
    true = study.true
    first = starting_latents(runtime, study.heldout, study.starts)
    conditionings = _conditionings(runtime, study)
    predicted = imagine(runtime, first, study.actions, conditionings)
    similar = horizon.similarity(whitening, predicted, true)
    at_end = similar[:, -1]
    hri = float(at_end.mean())
    rivals = _baselines(runtime, study, whitening, first, conditionings)
    true_state = windows(study.heldout.state, study.starts + 1, study.steps)[:, :, -1]
    now_state = study.heldout.state[:, study.starts]
    groups = study.task["state_groups"]
    suffix = f"_at_{study.steps}"
    return {
        "hri": similar.mean(axis=0),
        "hri_centred": horizon.centred_similarity(whitening, predicted, true).mean(axis=0),
        f"hri_ci95{suffix}": bootstrap_interval(at_end, study.seeds[0]),
        f"hri_per_seed{suffix}": [
            float(at_end[study.groups == group].mean()) for group in range(len(study.seeds))
        ],
        f"skill{suffix}": horizon.skill(hri, rivals),
        f"baselines{suffix}": rivals,
        "effective_rank": whitening.effective_rank,
        "latent_std": whitening.std,
        "valid": horizon.is_valid(whitening.effective_rank, study.task["position_coordinates"]),
        f"r2{suffix}": horizon.whitened_r2(whitening, predicted[:, :, -1], true[:, :, -1]),
        f"retrieval{suffix}": horizon.retrieval_at_1(
            whitening, predicted[:, 0, -1], true[:, 0, -1], study.heldout.latents, study.seeds[0]
        ),
        f"probe_error{suffix}": horizon.probe_errors(
            runtime.probe(predicted[:, :, -1]), true_state, groups
        ),
        "probe_error_at_0": horizon.probe_errors(runtime.probe(first), now_state, groups),
        f"probe_error_of_encoder{suffix}": horizon.probe_errors(
            runtime.probe(np.ascontiguousarray(true[:, :, -1])), true_state, groups
        ),
        "episodes": len(true),
        "starts": study.starts,
        "model_hash": runtime.manifest.model_hash,
        "backend": runtime.backend,
    }


def ceiling(study: Study, replayed: Encoded) -> float:
    """HRI@T of the simulator itself, replayed from perturbed states.

    Args:
        replayed: for each held-out episode the perturbed first step and the step T after it.
    """
    whitening = Whitening.fit(study.training.latents)
    true = study.heldout.latents[:, None, study.steps]
    return float(horizon.similarity(whitening, replayed.latents[:, None, -1], true).mean())


def _baselines(
    runtime: Runtime, study: Study, whitening: Whitening, first: Array, conditionings: Array
) -> dict[str, float]:
    seed = study.seeds[0]
    true, actions, steps = study.true[:, :, -1:], study.actions, study.steps
    other = baselines.other_episodes(len(true), seed)
    linear = baselines.LinearModel.fit(study.training.latents, study.training.actions)
    shuffled = baselines.shuffled_in_time(actions, seed)
    by_time = baselines.time_mean(study.training.latents, study.starts, steps)
    predictions = {
        "mean": np.broadcast_to(whitening.mean, true.shape),
        "persistence": baselines.persistence(first, 1),
        "shuffled_episode": true[other],
        "time_mean": np.broadcast_to(by_time[:, -1:], true.shape),
        "shuffled_actions": imagine(runtime, first, shuffled, conditionings)[:, :, -1:],
        "other_actions": imagine(runtime, first, actions[other], conditionings)[:, :, -1:],
        "linear_ar": linear.rollout(first, actions)[:, :, -1:],
    }
    return {
        name: float(horizon.similarity(whitening, predicted, true).mean())
        for name, predicted in predictions.items()
    }


def _conditionings(runtime: Runtime, study: Study) -> Array:
    """c (E, C) of the plainest sentence for each episode's goal: it saves a sentence an episode."""
    sentences = [each[0] for each in study.task["train_instructions"]]
    by_goal = {goal: runtime.condition(sentences[goal]) for goal in np.unique(study.heldout.goals)}
    return np.stack([by_goal[goal] for goal in study.heldout.goals])
