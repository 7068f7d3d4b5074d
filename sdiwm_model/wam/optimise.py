"""The updates of one stage of training; a stopped stage goes on exactly where it was.

Every update draws its batch from a generator seeded by (run seed, update), so that a resumed run
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sdiwm_model.errors import SdiwmError
from sdiwm_model.training.logs import TensorBoard
from sdiwm_model.training.snapshot import Position, Snapshot, save_snapshot
from sdiwm_model.wam.model import WorldActionModel

LOG_EVERY = 20
WARM_UP = 0.05
GRADIENT_LIMIT = 1.0

AfterUpdate = Callable[[int], None]
"""Told the updates done after each of them, of all stages; may raise, and the run goes on later."""


@dataclass(frozen=True)
class Loss:
    """What is minimised, and what it is made of, by name."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """One loop of updates.

    number, name    in the order of the run; of its losses in the log
    before          updates of the stages before it
    updates, rate   how many, and the peak of their learning rate
    model           what is trained, and averaged over the updates
    modules         all that a resumed stage needs beside the average, ``model`` among it
    trained         parameters
    loss            of the batch that a generator draws
    """

    number: int
    name: str
    before: int
    updates: int
    rate: float
    model: WorldActionModel
    modules: nn.Module
    trained: list[nn.Parameter]
    loss: Callable[[torch.Generator], Loss]


@dataclass(frozen=True)
class Run:
    """What all stages share; see `settings.WamConfig` for the numbers."""

    out: Path
    seed: int
    identity: dict[str, Any]
    weight_decay: float
    average: float
    save_every: int
    after_update: AfterUpdate


def optimise(stage: Stage, run: Run, snapshot: Snapshot | None) -> WorldActionModel:
    """All updates that are not done yet; the average of the weights, in evaluation mode.

    Args:
        snapshot: of this very stage, or None to begin it.

    Raises:
        SdiwmError: the loss or its gradient is not finite.
    """
    model, kept = stage.model, WorldActionModel(stage.model.size)
    kept.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(stage.trained, weight_decay=run.weight_decay)
    done = 0
    if snapshot is not None:
        snapshot.restore_model(kept)
        snapshot.restore_stage(stage.modules, optimiser)
        done = snapshot.position.step
    log = TensorBoard(run.out)
    bar = tqdm(range(done, stage.updates), desc=stage.name, initial=done, total=stage.updates)
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(stage.rate, stage.updates, step)
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 to 2 times as fast, the same losses
            loss = stage.loss(_generator(run.seed, stage.before + step))
        optimiser.zero_grad()
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(stage.trained, GRADIENT_LIMIT)
        _check_finite(run.out, step, loss.total.item() + norm.item())
        optimiser.step()
        _average(kept, model, run.average, step)
        if step % LOG_EVERY == 0:
            parts = {name: part.item() for name, part in loss.parts.items()}
            bar.set_postfix({name: f"{part:.3g}" for name, part in parts.items()})
            log.write(stage.name, parts, stage.before + step)
        if (step + 1) % run.save_every == 0 or step + 1 == stage.updates:
            log.flush()
            position = Position(stage.number, step + 1)
            save_snapshot(run.out, kept, stage.modules, optimiser, position, run.identity)
        run.after_update(stage.before + step + 1)
    log.close()
    return kept.eval()


def learning_rate(peak: float, updates: int, step: int) -> float:
    """Linear warm-up over 5 % of the updates, then a half cosine down to zero."""
    warm_up = max(1, int(WARM_UP * updates))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    share = (step - warm_up) / max(1, updates - warm_up)
    return peak * 0.5 * (1.0 + math.cos(math.pi * share))


@torch.no_grad()
def _average(kept: WorldActionModel, model: WorldActionModel, average: float, step: int) -> None:
    """Move ``kept`` towards ``model``; faster in the beginning, when its weights are random."""
    share = min(average, (step + 1) / (step + 10))
    for mean, new in zip(kept.parameters(), model.parameters(), strict=True):
        mean.lerp_(new, 1.0 - share)


def _check_finite(out: Path, step: int, value: float) -> None:
    """Stop before the update that would spoil the weights."""
    if not math.isfinite(value):
        raise SdiwmError(
            f"the loss or its gradient became {value} at update {step}; {out} holds the last good "
            "weights: train into another folder with a lower learning_rate"
        )


def _generator(seed: int, step: int) -> torch.Generator:
    key = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(key >> np.uint64(1)))
