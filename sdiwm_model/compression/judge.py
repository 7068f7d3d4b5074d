"""How far an integer model is from the float one, in what control needs: drift and ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdiwm_model.compression.activations import Floats, Rollouts, Weights
from sdiwm_model.compression.proposals import Proposals
from sdiwm_model.compression.quantised_model import QuantisedModel


@dataclass(frozen=True)
class Score:
    """Less is better.

    drift    root mean square of |z_k - z_float,k| over k = 1..K steps, open loop
    misrank  1 - Spearman's rank correlation of the costs of a plan's candidates with float's
    """

    drift: float
    misrank: float

    @property
    def total(self) -> float:
        """Their product: halving either counts the same, whatever their units."""
        return self.drift * self.misrank


@dataclass(frozen=True)
class Judge:
    """The float model's answers on rollouts and candidate sets, to compare integer models with."""

    rollouts: Rollouts
    proposals: Proposals
    value_weight: float
    visited: Floats
    costs: Floats

    @staticmethod
    def of(
        weights: Weights, rollouts: Rollouts, proposals: Proposals, value_weight: float
    ) -> Judge:
        """Ask the float model."""
        costs = proposals.float_costs(weights, value_weight)
        return Judge(rollouts, proposals, value_weight, rollouts.by_float(weights), costs)

    def __call__(self, q: QuantisedModel) -> Score:
        """Ask an integer model the same."""
        apart = np.linalg.norm(self.rollouts.by_integers(q)[1:] - self.visited[1:], axis=-1)
        costs = self.proposals.integer_costs(q, self.value_weight)
        drift = float(np.sqrt(np.square(apart).mean()))
        return Score(drift, 1 - float(rank_correlation(costs, self.costs).mean()))


def rank_correlation(a: Floats, b: Floats) -> Floats:
    """Spearman's, of each row of (S, N): (S,). Equal numbers rank in their order."""
    ranks = [np.argsort(np.argsort(x, axis=1, kind="stable"), axis=1) for x in (a, b)]
    centred = [r - (r.shape[1] - 1) / 2 for r in ranks]
    squares = np.square(centred[0]).sum(axis=1)
    result: Floats = (centred[0] * centred[1]).sum(axis=1) / squares
    return result


def regret(costs: Floats, true: Floats) -> Floats:
    """What choosing by ``costs`` (S, N) loses by ``true`` ones, as a share of mean - best: (S,)."""
    chosen = np.take_along_axis(true, costs.argmin(axis=1)[:, None], axis=1)[:, 0]
    best = true.min(axis=1)
    result: Floats = (chosen - best) / np.maximum(true.mean(axis=1) - best, 1e-9)
    return result
