"""Ranges chosen by what control needs: quantisation that knows about drift."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sdiwm_model.compression.activations import (
    Activations,
    Calibration,
    Rollouts,
    Weights,
    fusion_activations,
)
from sdiwm_model.compression.judge import Judge, Score
from sdiwm_model.compression.proposals import imagined_control
from sdiwm_model.compression.quantise import (
    Fusion,
    as_one_estimate,
    build,
    quantise,
    quantise_fusion,
)
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.compression.ranges import CANDIDATES, Ranges
from sdiwm_model.planning.protocols import PlannerSettings

ROUNDS = 2
STARTS = 96  # of rollouts in the search, of recorded and of planned actions each
LONGER = 3  # times as long as a recorded rollout is one that judges: drift grows with time
SETS = 128  # candidate sets that are ranked
ENOUGH = 0.99  # a range is changed for a score below this share of the best one


@dataclass(frozen=True)
class Chosen:
    """An integer model, its ranges, and the scores that they were chosen by, one a round."""

    model: QuantisedModel
    ranges: Ranges
    before: list[Score]
    after: list[Score]

    def describe(self) -> dict[str, Any]:
        """For a manifest or a report."""
        scores = {"before": self.before, "after": self.after}
        return {"ranges": asdict(self.ranges)} | {
            name: [asdict(score) for score in each] for name, each in scores.items()
        }


def quantise_for_control(
    weights: Weights,
    calibration: Calibration,
    settings: PlannerSettings,
    seed: int,
    lipschitz: float = 0.0,
) -> Chosen:
    """Quantise with ranges that keep k-step drift and the ranking of plans close to float's.

    Each round lets the integer model, as good as it is by then, plan in its own imagination; half
    of those rollouts and of recorded ones show the layers what they take in, the other half and
    the candidates of those plans judge. One range after the other is set to its best candidate, see
    `compression.ranges`. Deterministic.

    Args:
        settings: the planner's, of which sigma, temperatures, weights and the prior are used.
        lipschitz: the bound of the model's size; 0 for none. Weights of a bounded model are rounded
            to the nearest: making up for one's error in others lengthens rows beyond the bound.

    Raises:
        SdiwmError: bad calibration.
    """
    calibration.check()
    weights, ranges = as_one_estimate(weights), Ranges(feedback=not lipschitz)
    recorded = Rollouts.draw(calibration, seed)
    fusion = quantise_fusion(weights, fusion_activations(weights, calibration))
    model = quantise(weights, calibration, seed, ranges)
    before, after = [], []
    for round_ in range(ROUNDS):
        starts = recorded.some(slice(round_, None, max(1, len(recorded.starts) // STARTS)))
        planned, proposals = imagined_control(model, starts, settings, seed)
        mixed = starts.and_others(planned)
        shown = mixed.some(slice(0, None, 2))
        judging = mixed.some(slice(1, None, 2)).prolonged(LONGER, seed)
        judge = Judge.of(weights, judging, proposals.some(SETS, seed), settings.value_weight)
        seen = Activations.along(weights, shown.by_integers(model), shown)
        before.append(judge(build(weights, fusion, seen, ranges)))
        ranges, score = _descend(weights, fusion, seen, judge, ranges)
        after.append(score)
        every = recorded.and_others(planned)
        seen = Activations.along(weights, every.by_integers(model), every)
        model = build(weights, fusion, seen, ranges)
    return Chosen(model, ranges, before, after)


def _descend(
    weights: Weights, fusion: Fusion, seen: Activations, judge: Judge, ranges: Ranges
) -> tuple[Ranges, Score]:
    """Each range in turn to its best candidate, the others as they are by then."""
    best = judge(build(weights, fusion, seen, ranges))
    for name, candidates in CANDIDATES.items():
        for candidate in candidates:
            changed: dict[str, Any] = {name: candidate}
            tried = replace(ranges, **changed)
            if tried == ranges:
                continue
            score = judge(build(weights, fusion, seen, tried))
            if score.total < ENOUGH * best.total:
                ranges, best = tried, score
    return ranges, best
