"""The stages of training with a teacher's losses added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from sdiwm_model.compression.candidate_sets import CandidateSets, plan_cost, propose_sets
from sdiwm_model.compression.judge import rank_correlation, regret
from sdiwm_model.compression.teacher import Seen, conditioning, goal_count
from sdiwm_model.losses import ranking_loss, unexplained_share
from sdiwm_model.training.batches import draw_windows, frame_indices, with_history
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.prior import HUBER_DELTA, LATENT_NOISE
from sdiwm_model.training.stages import Loss, Stage
from sdiwm_model.world_model import WorldModel

JUDGED = 10  # one plan of so many is kept for judging


class Projection(nn.Module):
    """A student's numbers (..., X) -> a teacher's (..., Y), linearly; thrown away after training.

    Args:
        width: X.
        taught: what the teacher has to say to all the data, (N, Y).
    """

    def __init__(self, width: int, taught: Tensor) -> None:
        super().__init__()
        self._mean, self._variance = taught.mean(dim=0), taught.var(dim=0)
        self._linear = nn.Linear(width, taught.shape[1])

    def unexplained(self, own: Tensor, taught: Tensor) -> Tensor:
        """The share of the teacher's variance that the projection of ``own`` leaves unexplained."""
        told = self._mean + self._variance.mean().sqrt() * self._linear(own)
        return unexplained_share(told, taught, self._variance)


class GuidedVision:
    """The image branch, whose features tell a teacher's through a linear projection."""

    def __init__(
        self, stage: Stage, model: WorldModel, teacher: Seen, config: TrainingConfig
    ) -> None:
        self.name, self.steps, self.learning_rate = stage.name, stage.steps, stage.learning_rate
        self._stage, self._model, self._teacher = stage, model, teacher
        self._weight, self._batch = config.distillation.features_weight, config.distillation.batch
        self._projection = Projection(model.size.features, teacher.features)

    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({**self._stage.modules(), "features_projection": self._projection})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        own = self._stage.loss(step, generator)
        frames = self._teacher.data.frames
        chosen = frame_indices(len(frames), self._batch, generator)
        part = self._projection.unexplained(
            self._model.vision(frames[chosen]), self._teacher.features[chosen]
        )
        return Loss(own.total + self._weight * part, own.parts | {"features": part})


@dataclass(frozen=True)
class Lessons:
    """A teacher's plans: where each begins, a step of the data (P,), and for which goal (P,)."""

    frame: Tensor
    goal: Tensor
    sets: CandidateSets

    @staticmethod
    def of(teacher: Seen, config: TrainingConfig, seed: int) -> Lessons:
        """From steps and for goals drawn at random."""
        settings, total = config.distillation, len(teacher.data.frames)
        draw = torch.Generator().manual_seed(seed)
        frame = torch.randint(total, (settings.plans,), generator=draw)
        goals = goal_count(teacher.model, total)
        goal = torch.randint(goals, (settings.plans,), generator=draw)
        codes = conditioning(teacher.model, teacher.features, goal)
        with tqdm(total=settings.plans, desc="teacher's plans", disable=None) as bar:
            sets = propose_sets(
                teacher.model, teacher.latents[frame], codes, config.planner, settings, seed,
                report=bar.update,
            )  # fmt: skip
        return Lessons(frame, goal, sets)

    @property
    def learned(self) -> int:
        """The plans that are learned from, the first ones; the others judge."""
        return len(self.frame) - max(1, len(self.frame) // JUDGED)


class GuidedWorld:
    """Fusion, dynamics and heads, with what a teacher knows of latents, of what follows, of plans.

    The teacher always sees the newest picture, so that a student whose picture is late learns what
    it would have seen.
    """

    def __init__(
        self,
        stage: Stage,
        model: WorldModel,
        features: Tensor,
        teacher: Seen,
        lessons: Lessons,
        config: TrainingConfig,
    ) -> None:
        self.name, self.steps, self.learning_rate = stage.name, stage.steps, stage.learning_rate
        self._stage, self._model, self._features = stage, model, features
        self._teacher, self._lessons, self._config = teacher, lessons, config
        data = teacher.data
        self._begins = torch.repeat_interleave(data.starts, data.lengths)
        self._projection = Projection(model.size.latent, teacher.latents)
        settings = config.distillation
        weights = {
            "latents": settings.latents_weight,
            "rollouts": settings.rollouts_weight,
            "ranking": settings.ranking_weight,
            "imitation": settings.prior_weight if model.prior is not None else 0.0,
        }
        self._weights = {name: weight for name, weight in weights.items() if weight}

    def modules(self) -> nn.ModuleDict:
        own: dict[str, nn.Module] = {"latents_projection": self._projection}
        if "imitation" in self._weights and self._model.prior is not None:
            own["prior"] = self._model.prior
        return nn.ModuleDict({**self._stage.modules(), **own})

    def loss(self, step: int, generator: torch.Generator) -> Loss:
        own = self._stage.loss(step, generator)
        total, parts = own.total, dict(own.parts)
        if "latents" in self._weights or "rollouts" in self._weights:
            parts |= self._telling(generator)
        if "ranking" in self._weights:
            parts |= self._ranking(generator)
        if "imitation" in self._weights:
            parts["imitation"] = self._imitation(generator)
        for name, weight in self._weights.items():
            total = total + weight * parts[name]
        return Loss(total, parts)

    def _telling(self, generator: torch.Generator) -> dict[str, Tensor]:
        """What the projected latents, real and rolled, leave unexplained of the teacher's."""
        model, teacher, config = self._model, self._teacher, self._config
        data, batch = teacher.data, config.distillation.batch
        windows = draw_windows(
            data, self._features, batch, config.horizon, generator, model.size.frames
        )
        index = (data.starts[windows.episode] + windows.first).unsqueeze(1)
        index = index + torch.arange(config.horizon + 1)
        goal = torch.randint(goal_count(model, len(data.frames)), (batch,), generator=generator)
        actions = windows.action[:, :-1]
        real = model.fusion(windows.features, windows.proprio)
        rolled = model.rollout(real[:, 0], actions, self._told(goal))
        taught = teacher.latents[index]
        with torch.no_grad():
            codes = conditioning(teacher.model, teacher.features, goal)
            rolled_by_teacher = teacher.model.rollout(taught[:, 0], actions, codes)
        return {
            "latents": self._projection.unexplained(real, taught),
            "rollouts": self._projection.unexplained(rolled, rolled_by_teacher),
        }

    def _ranking(self, generator: torch.Generator) -> dict[str, Tensor]:
        """How candidates are weighted, and for the log how well they are ordered."""
        planner, sets = self._config.planner, self._lessons.sets
        count = self._config.distillation.sets
        plan = torch.randint(self._lessons.learned, (count,), generator=generator)
        turn = torch.randint(sets.costs.shape[1], (count,), generator=generator)
        costs, true = self._costs(plan, turn), sets.costs[plan, turn]
        order = rank_correlation(costs.detach().numpy(), true.numpy()).mean()
        return {
            "ranking": ranking_loss(costs, true, planner.temperature, planner.temperature_floor),
            "rank_correlation": torch.tensor(order),
        }

    def _costs(self, plan: Tensor, turn: Tensor) -> Tensor:
        """J (S, N) by the student of the teacher's candidates of some plans' iterations."""
        actions = self._lessons.sets.actions[plan, turn]
        count = actions.shape[1]
        z = self._latents(self._lessons.frame[plan]).repeat_interleave(count, dim=0)
        c = self._told(self._lessons.goal[plan]).repeat_interleave(count, dim=0)
        value_weight = self._config.planner.value_weight
        return plan_cost(self._model, z, actions.flatten(0, 1), c, value_weight).unflatten(
            0, (-1, count)
        )

    def _imitation(self, generator: torch.Generator) -> Tensor:
        """Huber error of what the prior proposes by the teacher's plans; no latent moves."""
        model, lessons = self._model, self._lessons
        assert model.prior is not None
        batch = self._config.distillation.batch
        plan = torch.randint(lessons.learned, (batch,), generator=generator)
        z = self._latents(lessons.frame[plan]).detach()
        z = z + LATENT_NOISE * torch.randn(z.shape, generator=generator)
        proposed = model.prior(z.clamp(-1.0, 1.0), self._told(lessons.goal[plan]).detach())
        return functional.huber_loss(proposed, self._wanted(plan), delta=HUBER_DELTA)

    def _wanted(self, plan: Tensor) -> Tensor:
        """The teacher's plans cut to the length of the prior's, or their last action repeated."""
        plans, horizon = self._lessons.sets.plans[plan], self._model.size.plan_horizon
        missing = max(0, horizon - plans.shape[1])
        return torch.cat([plans[:, :horizon], plans[:, -1:].expand(-1, missing, -1)], dim=1)

    def _latents(self, frame: Tensor) -> Tensor:
        """The student's latents at some steps of the data (B, Z)."""
        frames = self._model.size.frames
        seen = with_history(self._features, frame, self._begins[frame], frames)
        return self._model.fusion(seen, self._teacher.data.proprio[frame])

    def _told(self, goal: Tensor) -> Tensor:
        return conditioning(self._model, self._features, goal)

    @torch.no_grad()
    def agreement(self) -> dict[str, float]:
        """How much alike teacher and student plan, on plans that nothing was learned from."""
        sets, learned = self._lessons.sets, self._lessons.learned
        ranks, losses = [], []
        for turn in range(sets.costs.shape[1]):
            plan = torch.arange(learned, len(sets.costs))
            costs = self._costs(plan, torch.full_like(plan, turn)).numpy()
            true = sets.costs[learned:, turn].numpy()
            ranks.append(rank_correlation(costs, true))
            losses.append(regret(costs, true))
        return {
            "rank_correlation": float(np.mean(ranks)),
            "regret": float(np.mean(losses)),
        }
