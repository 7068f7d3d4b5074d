"""What is hidden of a clip: blocks of places, the same in every picture."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCKS = 4  # rectangles that a mask is made of
ASPECT = (0.75, 1.5)  # of a rectangle, height over width, as in Assran et al., "I-JEPA" (2023)


def split_places(
    clips: int, edge: int, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Which places of an ``edge`` x ``edge`` grid are seen and which are hidden in each clip.

    `BLOCKS` rectangles are laid over the grid, each of an area that would hide about ``share`` of
    it together with the others. As many places as ``share`` asks for are then hidden, those under
    most rectangles first and the rest by chance, so that all clips have the same count. The mask
    is a tube, alike in all pictures of a clip: else a place that stands still could be copied from
    the next picture (Bardes et al., "V-JEPA" (2024), section 3.1).

    Args:
        share: of the places, 0 to 1; at least one place stays.

    Returns:
        Indices of the seen (clips, seen) and of the hidden places (clips, hidden), ascending.
    """
    places = edge * edge
    hidden = min(round(share * places), places - 1)
    area = 1 - (1 - hidden / places) ** (1 / BLOCKS)  # so that independent blocks hide that share
    low, high = ASPECT
    aspect = low + (high - low) * torch.rand(clips, BLOCKS, generator=generator)
    height = (edge * (area * aspect).sqrt()).round().clamp(1, edge)
    width = (edge * (area / aspect).sqrt()).round().clamp(1, edge)
    under = _along(edge, height, generator).unsqueeze(3) & _along(edge, width, generator).unsqueeze(
        2
    )
    depth = under.sum(dim=1).flatten(1) + torch.rand(clips, places, generator=generator)
    order = depth.argsort(dim=1, descending=True)
    return order[:, hidden:].sort(dim=1).values, order[:, :hidden].sort(dim=1).values


def _along(edge: int, length: Tensor, generator: torch.Generator) -> Tensor:
    """Intervals of the given ``length`` (clips, blocks) somewhere in 0..edge: (..., edge)."""
    room = edge - length + 1
    first = (torch.rand(length.shape, generator=generator) * room).floor().unsqueeze(-1)
    axis = torch.arange(edge)
    return (axis >= first) & (axis < first + length.unsqueeze(-1))
