"""Everything that is said of one model's horizon, from encoded episodes and a runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdiwm_model.evaluation import baselines, horizon
from sdiwm_model.evaluation.horizon import Array, Whitening
from sdiwm_model.evaluation.imagination import Encoded, imagine, other_episodes, starting_latents
from sdiwm_model.evaluation.study import Study
from sdiwm_model.report import bootstrap_interval
from sdiwm_model.runtime.protocols import Runtime


def assess(runtime: Runtime, study: Study) -> dict[str, Any]:
    """The block of one model: curves for T = 1..steps, and what stands beside them at the last T.

    Keys without `_at_` are curves: lists with one entry a T.
    """
    whitening = Whitening.fit(study.training.latents)
    true, state, groups = study.true, study.state, study.task["state_groups"]
    first = starting_latents(runtime, study.heldout, study.starts)
    conditionings = study.conditionings(runtime)
    predicted = imagine(runtime, first, study.actions, conditionings)
    similar = horizon.similarity(whitening, predicted, true)
    rivals = _baselines(runtime, study, whitening, first, conditionings)
    decoded = horizon.probe_errors(runtime.probe(predicted), state, groups)
    read = horizon.probe_errors(runtime.probe(true), state, groups)
    interval = [bootstrap_interval(column, study.seeds[0]) for column in similar.T]
    at_end = {name: float(curve[-1]) for name, curve in rivals.items()}
    suffix = f"_at_{study.steps}"
    return {
        "hri": similar.mean(axis=0),
        "hri_ci95": interval,
        "hri_centred": horizon.centred_similarity(whitening, predicted, true).mean(axis=0),
        f"hri_ci95{suffix}": interval[-1],
        f"hri_per_seed{suffix}": [
            float(similar[study.groups == group, -1].mean()) for group in range(len(study.seeds))
        ],
        f"skill{suffix}": horizon.skill(float(similar[:, -1].mean()), at_end),
        "baselines": rivals,
        f"baselines{suffix}": at_end,
        "effective_rank": whitening.effective_rank,
        "latent_std": whitening.std,
        "valid": horizon.is_valid(whitening.effective_rank, study.task["position_coordinates"]),
        f"r2{suffix}": horizon.whitened_r2(whitening, predicted[:, :, -1], true[:, :, -1]),
        f"retrieval{suffix}": horizon.retrieval_at_1(
            whitening, predicted[:, 0, -1], true[:, 0, -1], study.heldout.latents, study.seeds[0]
        ),
        "probe_error": decoded,
        f"probe_error{suffix}": {name: float(curve[-1]) for name, curve in decoded.items()},
        "probe_error_at_0": {
            name: float(value)
            for name, value in horizon.probe_errors(
                runtime.probe(first), study.heldout.state[:, study.starts], groups
            ).items()
        },
        "probe_error_of_encoder": read,
        f"probe_error_of_encoder{suffix}": {name: float(curve[-1]) for name, curve in read.items()},
        "episodes": len(true),
        "starts": study.starts,
        "model_hash": runtime.manifest.model_hash,
        "backend": runtime.backend,
    }


def ceiling(study: Study, replayed: Encoded) -> Array:
    """HRI@T of the simulator itself, replayed from perturbed states: (T,).

    Args:
        replayed: each held-out episode from its perturbed first step on, T steps and one.
    """
    whitening = Whitening.fit(study.training.latents)
    true = study.heldout.latents[:, None, 1 : study.steps + 1]
    predicted = replayed.latents[:, None, 1 : study.steps + 1]
    return horizon.similarity(whitening, predicted, true).mean(axis=0)


def _baselines(
    runtime: Runtime, study: Study, whitening: Whitening, first: Array, conditionings: Array
) -> dict[str, Array]:
    """HRI (T,) of each; actions are shuffled over all T steps, whatever part of them is scored."""
    seed = study.seeds[0]
    true, actions, steps = study.true, study.actions, study.steps
    other = other_episodes(len(true), seed)
    linear = baselines.LinearModel.fit(study.training.latents, study.training.actions)
    shuffled = baselines.shuffled_in_time(actions, seed)
    by_time = baselines.time_mean(study.training.latents, study.starts, steps)
    predictions = {
        "mean": np.broadcast_to(whitening.mean, true.shape),
        "persistence": baselines.persistence(first, steps),
        "shuffled_episode": true[other],
        "time_mean": np.broadcast_to(by_time, true.shape),
        "shuffled_actions": imagine(runtime, first, shuffled, conditionings),
        "other_actions": imagine(runtime, first, actions[other], conditionings),
        "linear_ar": linear.rollout(first, actions),
    }
    return {
        name: horizon.similarity(whitening, predicted, true).mean(axis=0)
        for name, predicted in predictions.items()
    }
