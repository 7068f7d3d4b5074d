"""Which goals a batch of sequences is judged by, and what each step costs with respect to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdiwm_model.language import goal_codes
from sdiwm_model.training.batches import Experience, Windows
from sdiwm_model.world_model import WorldModel

GOALS = 2  # of a sequence: the heads' work grows with them, and every update draws others
POSE_UNIT = 0.4  # rad, summed over the joints: what is near is below half of it


@dataclass(frozen=True)
class Goals:
    """c (B, G, C) of some goals of each sequence, and each step's cost for them (B, K + 1, G)."""

    c: Tensor
    cost: Tensor


def draw_goals(
    model: WorldModel,
    data: Experience,
    features: Tensor,
    windows: Windows,
    generator: torch.Generator,
) -> Goals:
    """Two of the named goals, or two pictures: one of the sequence itself, where the cost decides,
    and one of any episode, since within one the joints move in their own ways together.

    A picture needs no label: the cost is how far the joints are from where they were when it was
    taken (hindsight relabelling, Andrychowicz et al. 2017).
    """
    if model.goal_image is None:
        codes = goal_codes(model.size.goals, model.size.conditioning)
        order = torch.rand(len(windows.cost), len(codes), generator=generator).argsort(dim=1)
        chosen = order[:, :GOALS]
        steps = windows.cost.shape[1]
        return Goals(
            codes[chosen], windows.cost.gather(2, chosen.unsqueeze(1).expand(-1, steps, -1))
        )
    batch, steps, _ = windows.proprio.shape
    start = data.starts[windows.episode] + windows.first
    nearby = start + torch.randint(steps, (batch,), generator=generator)
    anywhere = torch.randint(len(features), (batch,), generator=generator)
    index = torch.stack([nearby, anywhere], dim=1)
    return Goals(
        model.goal_image(features[index]), pose_distance(windows.proprio, data.proprio[index])
    )


def pose_distance(proprio: Tensor, goal: Tensor) -> Tensor:
    """Sum of the joints' distances, in units of `POSE_UNIT`: what the cost head can hold exactly.

    Args:
        proprio: positions then velocities, (B, T, P).
        goal: the same, (B, G, P).

    Returns:
        (B, T, G).
    """
    joints = proprio.shape[-1] // 2
    return torch.cdist(proprio[..., :joints], goal[..., :joints], p=1.0) / POSE_UNIT
