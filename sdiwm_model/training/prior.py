"""The policy prior, distilled from the planner: it learns the plans that much search finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import goal_codes
from sdiwm_model.planning.mppi import Mppi
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.runtime.torch import TorchDynamics
from sdiwm_model.training.batches import Experience, all_with_history
from sdiwm_model.world_model import WorldModel

CANDIDATES = 256
ITERATIONS = 8
SIGMA = 0.3
"""Of the plans that are imitated. For the time of a plan, narrow noise and many iterations reach
lower costs than the settings of the control loop, which refines its plan from tick to tick."""
BATCH = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
LATENT_NOISE = 0.03
"""Standard deviation of the noise on the latents that the prior is fitted to."""
HUBER_DELTA = 0.3

PICTURES = 512  # goals that are drawn where goals are told by pictures
Report = Callable[[int, float | None], None]
"""Told (plans and updates done, loss of the last update or None) after each plan and update."""


@torch.no_grad()
def examples(
    model: WorldModel, data: Experience, features: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Where plans may begin, all the latents (N, Z), and what for, the goals' codes (M, C)."""
    latents = model.fusion(all_with_history(data, features, model.size.frames), data.proprio)
    if model.goal_image is None:
        return latents, goal_codes(model.size.goals, model.size.conditioning)
    draw = torch.Generator().manual_seed(seed)
    return latents, model.goal_image(
        features[torch.randint(len(features), (PICTURES,), generator=draw)]
    )


def distil_prior(
    model: WorldModel,
    latents: Tensor,
    codes: Tensor,
    settings: PlannerSettings,
    seed: int,
    plans: int = 6000,
    steps: int = 3000,
    report: Report = lambda done, loss: None,
) -> list[float]:
    """Fit ``model.prior`` to plans found by MPPI on the model itself; nothing else changes.

    Args:
        latents: (N, Z) of real observations, at which plans begin.
        codes: (M, C) conditionings of goals; each plan draws a latent and a goal.
        settings: of the planner that the prior is to serve.
        plans, steps: how many plans are made, and updates of the prior on them.

    Returns:
        The loss of every update.

    Raises:
        SdiwmError: the model has no prior, or ``plans`` or ``steps`` is not positive.
    """
    if model.prior is None:
        raise SdiwmError("The model has no prior: use a size whose field 'prior' is above 0.")
    for name, count in (("prior_plans", plans), ("prior_steps", steps)):
        if count < 1:
            raise SdiwmError(f"training setting '{name}' is {count}: use >= 1")
    z, c, actions = plan_examples(model, latents, codes, settings, seed, plans, report)
    return _fit(model, z, c, actions, seed, steps, lambda step, loss: report(plans + step, loss))


def plan_examples(
    model: WorldModel,
    latents: Tensor,
    codes: Tensor,
    settings: PlannerSettings,
    seed: int,
    plans: int,
    report: Report,
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (plans, Z) and goals (plans, C) drawn at random, and the plans found (plans, H, A).

    Each plan starts from rest; the same seed gives the same plans.
    """
    rng = np.random.default_rng(seed)
    which = rng.integers(len(latents), size=plans), rng.integers(len(codes), size=plans)
    z, c = latents[which[0]], codes[which[1]]
    searching = replace(
        settings,
        candidates=CANDIDATES,
        horizon=model.size.plan_horizon,
        iterations=ITERATIONS,
        sigma=SIGMA,
        use_prior=False,
    )
    planner = Mppi(TorchDynamics(model), searching, seed)
    found = []
    for i in range(plans):
        found.append(planner.plan(z[i].numpy(), c[i].numpy()).actions)
        report(i + 1, None)
    return z, c, torch.from_numpy(np.stack(found))


def _fit(
    model: WorldModel,
    z: Tensor,
    c: Tensor,
    actions: Tensor,
    seed: int,
    steps: int,
    report: Callable[[int, float], None],
) -> list[float]:
    """Regress z (N, Z), c (N, C) -> actions (N, H, A) into ``model.prior``."""
    assert model.prior is not None
    prior = model.prior.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(prior.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    draw = torch.Generator().manual_seed(seed)
    losses = []
    for step in range(steps):
        chosen = torch.randint(len(z), (BATCH,), generator=draw)
        noise = LATENT_NOISE * torch.randn(BATCH, z.shape[1], generator=draw)
        proposed = prior((z[chosen] + noise).clamp(-1.0, 1.0), c[chosen])
        loss = functional.huber_loss(proposed, actions[chosen], delta=HUBER_DELTA)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        report(step + 1, losses[-1])
    return losses
