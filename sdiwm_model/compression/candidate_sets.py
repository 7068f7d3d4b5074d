"""What a model's planner tries: sets of candidates, their costs, and the plans made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import Array, PlannerSettings
from sdiwm_model.runtime.torch import TorchDynamics
from sdiwm_model.training.config import Distillation
from sdiwm_model.world_model import WorldModel

Report = Callable[[], None]
"""Called after each plan."""


@dataclass(frozen=True)
class CandidateSets:
    """Candidates of one plan in each of its iterations, and their costs by the model that plans.

    actions  (P, I, N, H, A)
    costs    (P, I, N): J without the smoothness of the actions, which is the same for every model
    plans    (P, H, A)
    """

    actions: Tensor
    costs: Tensor
    plans: Tensor


def plan_cost(
    model: WorldModel, z: Tensor, actions: Tensor, c: Tensor, value_weight: float
) -> Tensor:
    """J = sum over k = 1..H of cost(z_k, c) + value_weight * value(z_H, c).

    Args:
        z, actions, c: (B, Z), (B, H, A), (B, C).

    Returns:
        (B,).
    """
    latents = model.rollout(z, actions, c)
    along = model.cost(latents, c.unsqueeze(1)).sum(dim=1)
    return along + value_weight * model.value(latents[:, -1], c)


class _Recording(TorchDynamics):
    """Remembers what a planner asks for; rollouts are joint ones, as in training."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__(model)
        self.asked: list[tuple[Array, Array]] = []

    @torch.inference_mode()
    def rollout_cost(
        self,
        z: Array,
        actions: Array,
        c: Array,
        value_weight: float = 1.0,
        disagreement: float = 0.0,
    ) -> Array:
        start, goal = (torch.from_numpy(x).expand(len(actions), -1) for x in (z, c))
        costs = plan_cost(self.model, start, torch.from_numpy(actions), goal, value_weight).numpy()
        self.asked.append((actions, costs))
        return costs


def propose_sets(
    model: WorldModel,
    latents: Tensor,
    codes: Tensor,
    planner: PlannerSettings,
    settings: Distillation,
    seed: int,
    report: Report,
) -> CandidateSets:
    """Plan by MPPI on ``model`` from each of the latents (P, Z) for each of the goals (P, C).

    Every plan starts from rest; each iteration is a set, nearer to the plan than the one before.
    Deterministic.

    Args:
        planner: of the control loop, but for the number of candidates and iterations.
    """
    searching = replace(
        planner,
        candidates=settings.searched,
        iterations=settings.iterations,
        use_prior=False,
        disagreement=0.0,
    )
    rng = np.random.default_rng(seed)
    actions, costs, plans = [], [], []
    for z, c in zip(latents.numpy(), codes.numpy(), strict=True):
        dynamics = _Recording(model)
        plans.append(Mppi(dynamics, searching, int(rng.integers(2**32))).plan(z, c).actions)
        kept = [rng.permutation(settings.searched)[: settings.ranked] for _ in dynamics.asked]
        asked = list(zip(dynamics.asked, kept, strict=True))
        actions.append(np.stack([tried[chosen] for (tried, _), chosen in asked]))
        costs.append(np.stack([cost[chosen] for (_, cost), chosen in asked]))
        report()
    return CandidateSets(*(torch.from_numpy(np.stack(each)) for each in (actions, costs, plans)))
