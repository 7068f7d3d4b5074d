"""What compression leaves of a model: HRI, probe error and ranking, one number an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdiwm_model.evaluation import horizon
from sdiwm_model.evaluation.horizon import Array, Whitening
from sdiwm_model.evaluation.imagination import imagine, starting_latents
from sdiwm_model.evaluation.quantisation import mean
from sdiwm_model.evaluation.ranking import Situations
from sdiwm_model.evaluation.study import Study
from sdiwm_model.report import paired_ratio, rate
from sdiwm_model.runtime.protocols import Runtime

Found = Mapping[str, Any]  # of one bundle: `judge`, and what closed-loop control adds


def judge(runtime: Runtime, study: Study, situations: Situations) -> dict[str, Any]:
    """One bundle on a back end, in latents of its own float encoder.

    `hri` and `probe_error` are of held-out episodes (E,) at the last step of the horizon, `costs`
    (S, N) of the plans to be ranked.
    """
    whitening = Whitening.fit(study.training.latents)
    first = starting_latents(runtime, study.heldout, study.starts)
    path = imagine(runtime, first, study.actions, study.conditionings(runtime))[:, :, -1]
    true, state = study.true[:, :, -1], study.state[:, :, -1]
    rank = whitening.effective_rank
    return {
        "model_hash": runtime.manifest.model_hash,
        "hri": horizon.similarity(whitening, path, true).tolist(),
        "probe_error": _errors(runtime.probe(path), state, study.task["state_groups"]),
        "costs": situations.costs(runtime, study).tolist(),
        "effective_rank": rank,
        "valid": horizon.is_valid(rank, study.task["position_coordinates"]),
    }


def _errors(read: Array, state: Array, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Errors of each episode, from states (E, S, state)."""
    rows = [
        horizon.probe_errors(read[e : e + 1], state[e : e + 1], groups) for e in range(len(read))
    ]
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def summary(rows: Sequence[Found], steps: int, seed: int) -> dict[str, Any]:
    """One stage: rows of its bundles, one a training seed, together and apart.

    Intervals are over all episodes of all training seeds; `std_of_training_seeds` (n - 1) is that
    of their means, null where there is one.
    """
    figures: dict[str, Any] = {
        "model_hash": [row["model_hash"] for row in rows],
        f"hri_at_{steps}": mean(_joined(rows, "hri"), seed),
        f"probe_error_at_{steps}": {
            name: mean(_errors_of(rows, name), seed) for name in rows[0]["probe_error"]
        },
        "effective_rank": [row["effective_rank"] for row in rows],
        "valid": all(row["valid"] for row in rows),
    }
    apart = {f"hri_at_{steps}": [float(np.mean(row["hri"])) for row in rows]}
    for key in ("cost_rank_correlation", "plan_regret"):
        figures[key] = mean(_joined(rows, key), seed)
        apart[key] = [float(np.mean(row[key])) for row in rows]
    for key in ("success", "success_every_tick", "return", "return_every_tick"):
        if key in rows[0]:
            scores = _joined(rows, key)
            counted = key.startswith("success")
            figures[key] = rate(int(scores.sum()), len(scores)) if counted else mean(scores, seed)
            apart[key] = [float(np.mean(row[key])) for row in rows]
    figures["training_seeds"] = apart
    figures["std_of_training_seeds"] = {
        key: float(np.std(values, ddof=1)) if len(values) > 1 else None
        for key, values in apart.items()
    }
    return figures


def versus_full(rows: Sequence[Found], full: Sequence[Found], seed: int) -> dict[str, Any]:
    """Means as a share of the full model's, on the same episodes and training seeds, paired.

    The rank correlation is with the full model's costs of the same plans: a figure of its own.
    A single full model stands for all training seeds, and a single bundle is compared with all.
    """
    count = max(len(rows), len(full))
    ours, theirs = ([each[i % len(each)] for i in range(count)] for each in (rows, full))
    found: dict[str, Any] = {
        "hri": paired_ratio(_joined(ours, "hri"), _joined(theirs, "hri"), seed),
        "probe_error": {
            name: paired_ratio(_errors_of(ours, name), _errors_of(theirs, name), seed)
            for name in rows[0]["probe_error"]
        },
        "cost_rank_correlation": mean(_joined(rows, "cost_rank_correlation"), seed),
    }
    for key in ("success", "return"):
        if key in rows[0]:
            found[key] = paired_ratio(_joined(ours, key), _joined(theirs, key), seed)
    return found


def _joined(rows: Sequence[Found], key: str) -> np.ndarray:
    return np.concatenate([np.asarray(row[key], np.float64) for row in rows])


def _errors_of(rows: Sequence[Found], name: str) -> np.ndarray:
    return _joined([row["probe_error"] for row in rows], name)
