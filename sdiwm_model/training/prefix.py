"""The prefix dynamics, distilled from a world model's own rollouts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.candidates import correlated_noise
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.prefix_dynamics import PrefixDynamics
from sdiwm_model.world_model import WorldModel

BATCH = 256
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-4
LATENT_WEIGHT = 10.0
COST_WEIGHT = 0.1
NOISE = (0.0, 0.5, 1.0)  # of the planner's sigma, around the recorded actions


def draw_sequences(actions: Tensor, settings: PlannerSettings, rng: np.random.Generator) -> Tensor:
    """Recorded sequences (B, H, A) as a planner would vary them, in [-1, 1].

    Half keep their course; the others hold a share of their mean action. Then the planner's own
    noise, a third of them without any.
    """
    count, horizon, width = actions.shape
    share = torch.from_numpy(rng.random((count, 1, 1), dtype=np.float32))
    kept = torch.from_numpy(rng.random((count, 1, 1)) < 0.5)
    course = torch.where(kept, actions, share * actions.mean(dim=1, keepdim=True))
    noise = correlated_noise(rng, (count, horizon, width), settings.beta)
    scale = settings.sigma * rng.choice(np.array(NOISE, np.float32), (count, 1, 1))
    return (course + torch.from_numpy(scale * noise)).clamp(-1.0, 1.0)


def distil_prefix(
    model: WorldModel,
    latents: Tensor,
    actions: Tensor,
    codes: Tensor,
    settings: PlannerSettings,
    seed: int,
    steps: int = 4000,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> PrefixDynamics:
    """Fit a prefix dynamics to ``model.rollout``, over as many steps as ``actions`` has.

    The model itself is not changed.

    Args:
        latents: (N, Z), where rollouts begin.
        actions: (N, H, A), what was done from there on.
        codes: (M, C) conditionings of goals.
        settings: of the planner that it is to serve.
        steps: updates.

    Raises:
        SdiwmError: ``steps`` is not positive.
    """
    if steps < 1:
        raise SdiwmError(f"steps of the prefix dynamics are {steps}: use 1 or more")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    prefix = PrefixDynamics(model.size, actions.shape[1])
    optimiser = torch.optim.AdamW(prefix.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for step in range(steps):
        chosen = torch.from_numpy(rng.integers(len(latents), size=BATCH))
        z, c = latents[chosen], codes[torch.from_numpy(rng.integers(len(codes), size=BATCH))]
        moves = draw_sequences(actions[chosen], settings, rng)
        with torch.no_grad():
            target = model.rollout(z, moves, c)
            cost = model.cost(target, c.unsqueeze(1))
        predicted = prefix(z, moves, c)
        loss = LATENT_WEIGHT * functional.mse_loss(predicted, target)
        loss = loss + COST_WEIGHT * functional.huber_loss(
            model.cost(predicted, c.unsqueeze(1)), cost
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        report(step + 1, loss.item())
    return prefix.eval()
