"""Fine-tuning through the integers' rounding: for models that calibration alone does not save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sdiwm_model.compression.activations import (
    Activations,
    Calibration,
    Floats,
    Rollouts,
    Weights,
    float_head,
    fusion_activations,
)
from sdiwm_model.compression.fake_quantised import HEADS, FakeQuantised
from sdiwm_model.compression.fixed_point import ZERO_POINT, rounding
from sdiwm_model.compression.quantise import (
    as_one_estimate,
    build,
    hidden_units,
    quantise_fusion,
)
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.compression.ranges import Ranges
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.dequantise import dequantised_dynamics, unit_of_sum
from sdiwm_model.training.snapshot import FILE, Position, Snapshot, save_snapshot

BATCH, STEPS = 64, 24  # rollouts of an update, and their length
LEARNING_RATE = 1e-4
GRADIENT_LIMIT = 1.0
ROWS = 2048  # of activations, that the ranges are measured on
SAVE_EVERY = 50
JUDGED = 8  # batches that say whether it was worth it


@dataclass(frozen=True)
class Teacher:
    """The float model along its own rollouts: what the integers are to do.

    visited (T + 1, N, Z), heads: "cost" and "value" (T + 1, N) there.
    """

    rollouts: Rollouts
    visited: Floats
    heads: dict[str, Floats]

    @staticmethod
    def of(weights: Weights, calibration: Calibration, seed: int) -> Teacher:
        """Along recorded actions and planner-like noise."""
        rollouts = Rollouts.draw(calibration, seed)
        visited = rollouts.by_float(weights)
        c = np.tile(rollouts.conditionings, (len(visited), 1))
        flat = visited.reshape(len(c), -1)
        heads = {h: float_head(weights, h, flat, c).reshape(visited.shape[:2]) for h in HEADS}
        return Teacher(rollouts, visited, heads)

    def activations(self, weights: Weights) -> Activations:
        """What the layers take in, a thinned sample."""
        seen = Activations.along(weights, self.visited, self.rollouts)
        rows = slice(None, None, max(1, len(seen.latents) // ROWS))
        heads = {name: hidden[rows] for name, hidden in seen.heads.items()}
        return Activations(seen.latents[rows], seen.actions[rows], seen.hidden[rows], heads)


def unrolled_loss(fake: FakeQuantised, teacher: Teacher, rng: np.random.Generator) -> Tensor:
    """Drift and wrong heads of the integers' own rollouts, as shares of float's variances.

    L = mean |z_k - f_k|^2 / var(f) + sum over heads h of mean (h(z_k) - h_float(f_k))^2 / var(h)
    with f_k the float model's latents and z_k those of the rounded one, from the same f_0. Heads
    learn to read the latents that there are: no latent moves to please a head.
    """
    rollouts, length = teacher.rollouts, teacher.rollouts.actions.shape[1]
    steps = min(STEPS, length)
    chosen = rng.integers(len(rollouts.starts), size=BATCH)
    start = int(rng.integers(length - steps + 1))
    moment = slice(start + 1, start + steps + 1)
    c = torch.from_numpy(rollouts.conditionings[chosen])
    actions = torch.from_numpy(rollouts.actions[chosen, start : start + steps])
    units = fake.units()
    z = fake.rollout(units, torch.from_numpy(teacher.visited[start, chosen]), actions, c)
    true = torch.from_numpy(teacher.visited[moment][:, chosen].swapaxes(0, 1))
    loss = (z - true).square().mean() / float(teacher.visited.var())
    for head in HEADS:
        wanted = torch.from_numpy(teacher.heads[head][moment][:, chosen].T.copy())
        got = fake.head(units, head, z.detach(), c[:, None])
        loss = loss + (got - wanted).square().mean() / float(teacher.heads[head].var())
    return loss


def fine_tune(
    weights: Weights,
    calibration: Calibration,
    ranges: Ranges,
    updates: int,
    seed: int,
    folder: Path | None = None,
    save_every: int = SAVE_EVERY,
    after_update: Callable[[int, float], None] = lambda done, loss: None,
) -> tuple[dict[str, Floats], QuantisedModel]:
    """Weights whose rounding costs less, and the integers that they become.

    Updates that made it worse, by batches that none was drawn from, are not kept. Every update
    draws from a generator seeded by (seed, update), so a run that was stopped and goes on from
    ``folder`` ends where an uninterrupted one does.

    Args:
        ranges: as `compression.search` chose them.
        folder: of the snapshot, written every ``save_every`` updates; None for none.
        after_update: called with the updates done and the loss.

    Raises:
        SdiwmError: bad calibration, a snapshot of another run, or a loss that is not finite.
    """
    calibration.check()
    weights = as_one_estimate(weights)
    torch.set_num_threads(1)  # two threads are slower than one for these sizes
    teacher = Teacher.of(weights, calibration, seed)
    seen = teacher.activations(weights)
    start = _rounded_with_feedback(weights, calibration, seen, ranges)
    fake = FakeQuantised(start, seen, ranges)
    optimiser = torch.optim.Adam(fake.trained.parameters(), LEARNING_RATE)
    identity = {"updates": updates, "seed": seed, "weights": _digest(weights)}
    done = _resume(folder, fake, optimiser, identity)
    for update in tqdm(range(done, updates), desc="fine-tune", unit="update", disable=None):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * update / updates))
        loss = unrolled_loss(fake, teacher, np.random.default_rng([seed, update]))
        if not torch.isfinite(loss):
            raise SdiwmError(
                f"the loss of update {update} is not finite: check the model's weights"
            )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(fake.trained.parameters(), GRADIENT_LIMIT)
        optimiser.step()
        if folder is not None and (update + 1) % save_every == 0:
            position = Position(0, update + 1)
            save_snapshot(folder, fake, nn.ModuleDict(), optimiser, position, identity)
        after_update(update + 1, float(loss.detach()))
    before = FakeQuantised(start, seen, ranges)
    tuned = min((fake, before), key=lambda each: _judged(each, teacher, seed)).weights()
    fusion = quantise_fusion(tuned, fusion_activations(tuned, calibration))
    return tuned, build(tuned, fusion, seen, fake.ranges)


def _rounded_with_feedback(
    weights: Weights, calibration: Calibration, seen: Activations, ranges: Ranges
) -> dict[str, Floats]:
    """Weights of which the dynamics are what its integers stand for, each rounded for the others.

    Fine-tuning starts there and not from nearest integers: most of the way is gone already.
    """
    fusion = quantise_fusion(weights, fusion_activations(weights, calibration))
    integers = build(weights, fusion, seen, ranges)
    unit = hidden_units(weights, seen.hidden, ranges)
    stands_for = dequantised_dynamics(integers)
    layer = integers.layers["input"]
    correction = layer.bias + ZERO_POINT * layer.weight.sum(axis=1, dtype=np.int64)
    correction = (correction - rounding(layer.shift)) * unit_of_sum(layer)[:, 0]
    stands_for["dynamics.input.bias"] = stands_for["dynamics.input.bias"] + correction
    for part in ("weight", "bias"):  # its hidden layer is in the integers' unit
        stands_for[f"dynamics.input.{part}"] = (stands_for[f"dynamics.input.{part}"].T * unit).T
    stands_for["dynamics.gru_input.weight"] = stands_for["dynamics.gru_input.weight"] / unit
    own = {name: stands_for[name].astype(np.float32) for name in weights if name in stands_for}
    return {**weights, **own}


@torch.no_grad()
def _judged(fake: FakeQuantised, teacher: Teacher, seed: int) -> float:
    """The mean loss of batches that are the same for every model."""
    draws = [np.random.default_rng([seed, 0, index]) for index in range(JUDGED)]
    return float(np.mean([float(unrolled_loss(fake, teacher, rng)) for rng in draws]))


def _resume(
    folder: Path | None,
    fake: FakeQuantised,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> int:
    """Updates that are done already, their results put back."""
    if folder is None or not (folder / FILE).exists():
        return 0
    snapshot = Snapshot(folder, identity)
    snapshot.restore_model(fake)
    snapshot.restore_stage(nn.ModuleDict(), optimiser)
    return snapshot.position.step


def _digest(weights: Weights) -> str:
    from hashlib import sha256

    digest = sha256()
    for name in sorted(weights):
        digest.update(weights[name].tobytes())
    return digest.hexdigest()[:16]
