"""One training run: language, vision, world, prior; logged, checkpointed, resumed exactly.

Every update draws its batch from a generator seeded by (run seed, stage, step), so that a resumed
run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sdiwm_model.dynamics import Dynamics
from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import Tokeniser, train_language
from sdiwm_model.sizes import ModelSize
from sdiwm_model.training.batches import Experience, encode_frames
from sdiwm_model.training.checks import fresh_model
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.guide import Guide
from sdiwm_model.training.logs import Logs
from sdiwm_model.training.prior import distil_prior, examples
from sdiwm_model.training.snapshot import FILE, Position, Snapshot, save_snapshot
from sdiwm_model.training.stages import Stage, VisionStage, WorldStage
from sdiwm_model.world_model import WorldModel

LOG_EVERY = 20
WARM_UP = 0.05
GRADIENT_LIMIT = 1.0
WEIGHT_DECAY = 1e-4
STAGES = ("language", "vision", "world", "prior")


@dataclass(frozen=True)
class Sentences:
    """Training sentences with the goal that each names, and sentences that name none."""

    texts: Sequence[str]
    goals: Sequence[int]
    unrelated: Sequence[str]


class Interruption(Protocol):
    """Called after each update with the stage's name and the updates done; may raise."""

    def __call__(self, stage: str, done: int) -> None: ...


class Trainer:
    """Trains a `WorldModel` in ``folder``, going on from a snapshot that lies there.

    Args:
        folder: of the run; holds the snapshot and the logs.
        config, seed: of the run; size: of the model.
        data, sentences: what it learns from.
        encoder: the frozen text encoder.
        initial: weights to start from, for fine-tuning; else random ones.
        origin: says which data and weights these are, so that a resume from others is refused.
        after_update: see `Interruption`.
        guide: a teacher that adds losses, where there is one.

    Raises:
        SdiwmError: the snapshot belongs to another run, or the loss became NaN (the last good
            snapshot stays).
    """

    def __init__(
        self,
        folder: Path,
        config: TrainingConfig,
        size: ModelSize,
        seed: int,
        data: Experience,
        sentences: Sentences,
        encoder: Tokeniser,
        initial: WorldModel | None = None,
        origin: dict[str, Any] | None = None,
        after_update: Interruption = lambda stage, done: None,
        guide: Guide | None = None,
    ) -> None:
        config.check_against(int(data.lengths.min()))
        self.folder, self.config, self.seed = folder, config, seed
        self._data, self._sentences, self._encoder = data, sentences, encoder
        self._after_update, self._guide = after_update, guide
        self._identity = {"configuration": config.identity(), "seed": seed, **(origin or {})}
        found = (folder / FILE).exists()
        self._snapshot = Snapshot(folder, self._identity) if found else None
        torch.set_num_threads(1)  # two threads are slower than one for these sizes
        torch.manual_seed(seed)
        self.model = initial or fresh_model(size, data)
        self._bounded = [m for m in self.model.modules() if isinstance(m, Dynamics)]
        for each in self._bounded:
            each.project()  # the weights to start from may keep no bound
        self.model.vision.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @cached_property
    def features(self) -> Tensor:
        """Image features of all frames (N, E): for all that comes after the vision stage."""
        return encode_frames(self.model.vision, self._data.frames)

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a snapshot."""
        return self._snapshot is not None

    def run(self) -> WorldModel:
        """All stages that are not done yet; the trained model, in evaluation mode."""
        snapshot = self._snapshot
        first = snapshot.position.stage if snapshot else 0
        with Logs(self.folder, self.config.wandb, self._identity) as log:
            for number in range(first, len(STAGES)):
                torch.manual_seed(self.seed * len(STAGES) + number)
                self._run_stage(number, snapshot if number == first else None, log)
        return self.model.eval()

    def _run_stage(self, number: int, snapshot: Snapshot | None, log: Logs) -> None:
        if STAGES[number] == "language":
            self._language(log)
            return
        if STAGES[number] == "prior":
            self._prior(log)
            return
        if snapshot is not None:
            snapshot.restore_model(self.model)
        stage = self._stage(STAGES[number])
        modules = stage.modules()
        optimiser = torch.optim.AdamW(modules.parameters(), weight_decay=WEIGHT_DECAY)
        if snapshot is not None:
            snapshot.restore_stage(modules, optimiser)
        done = snapshot.position.step if snapshot is not None else 0
        self._optimise(stage, number, modules, optimiser, done, log)

    def _language(self, log: Logs) -> None:
        language = self.model.language
        if self.config.language_steps == 0 or language is None:
            return
        with tqdm(total=self.config.language_steps, desc="language") as bar:

            def report(step: int, loss: float) -> None:
                bar.update()
                log.write("language", {"loss": loss}, step)

            trained = train_language(
                self.model.size,
                self._sentences.texts,
                self._sentences.goals,
                self._sentences.unrelated,
                self._encoder,
                self.seed,
                self.config.language_steps,
                report,
            )
        language.load_state_dict(trained.state_dict())

    def _prior(self, log: Logs) -> None:
        plans, steps = self.config.prior_plans, self.config.prior_steps
        if plans == 0:
            return
        model = self.model.eval()
        latents, codes = examples(model, self._data, self.features, self.seed)
        with tqdm(total=plans + steps, desc="prior") as bar:

            def report(done: int, loss: float | None) -> None:
                bar.update()
                if loss is not None and done % LOG_EVERY == 0:
                    log.write("prior", {"loss": loss}, done - plans)

            distil_prior(
                model, latents, codes, self.config.planner, self.seed, plans, steps, report
            )

    def _stage(self, name: str) -> Stage:
        model, data, guide = self.model, self._data, self._guide
        if name == "vision":
            seeing = VisionStage(model, data, self.config)
            return seeing if guide is None else guide.vision(seeing, model, data)
        features = self.features
        world = WorldStage(model, data, features, self.config)
        return world if guide is None else guide.world(world, model, data, features)

    def _optimise(
        self,
        stage: Stage,
        number: int,
        modules: torch.nn.ModuleDict,
        optimiser: torch.optim.Optimizer,
        done: int,
        log: Logs,
    ) -> None:
        bar = tqdm(range(done, stage.steps), desc=stage.name, initial=done, total=stage.steps)
        for step in bar:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(stage, step)
            loss = stage.loss(step, self._generator(number, step))
            self._check_finite(stage, step, "loss", loss.total.item())
            optimiser.zero_grad()
            loss.total.backward()
            for each in self._bounded:
                each.constrain_gradients()
            norm = torch.nn.utils.clip_grad_norm_(modules.parameters(), GRADIENT_LIMIT)
            self._check_finite(stage, step, "gradient", norm.item())
            optimiser.step()
            for each in self._bounded:
                each.project()
            if step % LOG_EVERY == 0:
                parts = {name: part.item() for name, part in loss.parts.items()}
                bar.set_postfix({name: f"{part:.3g}" for name, part in parts.items()})
                log.write(stage.name, parts, step)
            if (step + 1) % self.config.save_every == 0 or step + 1 == stage.steps:
                position = Position(number, step + 1)
                log.flush()
                save_snapshot(self.folder, self.model, modules, optimiser, position, self._identity)
            self._after_update(stage.name, step + 1)

    def _check_finite(self, stage: Stage, step: int, what: str, value: float) -> None:
        """Stop before the update that would spoil the weights."""
        if math.isfinite(value):
            return
        snapshot = self.folder / FILE
        kept = f"{snapshot} holds the last good weights: " if snapshot.exists() else ""
        raise SdiwmError(
            f"the {what} of stage {stage.name} became {value} at step {step}; {kept}"
            f"start again with the same --out and a lower {stage.name}_learning_rate"
        )

    def _generator(self, stage: int, step: int) -> torch.Generator:
        key = np.random.SeedSequence([self.seed, stage, step]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(key >> np.uint64(1)))


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up over 5 % of the stage, then a half cosine down to zero."""
    warm_up = max(1, int(WARM_UP * stage.steps))
    if step < warm_up:
        return stage.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, stage.steps - warm_up)
    return stage.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
