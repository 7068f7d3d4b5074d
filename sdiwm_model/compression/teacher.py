"""A model that others are distilled from, and what it makes of their data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sdiwm_model.checkpoint import Manifest, load_model
from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import goal_codes
from sdiwm_model.training.batches import Experience, all_with_history, encode_frames
from sdiwm_model.training.checks import check_data_fits
from sdiwm_model.world_model import WorldModel

CHUNK = 8192  # pictures and latents that are computed at a time


def load_teacher(folder: Path, spec: EpisodeSpec) -> tuple[WorldModel, Manifest]:
    """A world model of any size that can teach students on such data.

    Raises:
        SdiwmError: it is of another task, or sees, moves or is told its goals otherwise; a weight
            of it is not finite.
    """
    model, manifest = load_model(folder)
    check_data_fits(manifest, folder, spec)
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise SdiwmError(
                f"the teacher {folder} has a weight that is not finite, in {name}: name another"
            )
    return model.requires_grad_(False), manifest


@dataclass(frozen=True)
class Seen:
    """A model and what it sees in a data set: computed when it is first asked for."""

    model: WorldModel
    data: Experience

    @cached_property
    def features(self) -> Tensor:
        """Image features of all frames (N, E)."""
        parts = self.data.frames.split(CHUNK)
        watched = tqdm(parts, desc="teacher's pictures", disable=None)
        return torch.cat([encode_frames(self.model.vision, part) for part in watched])

    @cached_property
    def latents(self) -> Tensor:
        """Latents at every step (N, Z), its picture as new as its joints."""
        seen = all_with_history(self.data, self.features, self.model.size.frames)
        parts = zip(seen.split(CHUNK), self.data.proprio.split(CHUNK), strict=True)
        with torch.no_grad():
            return torch.cat([self.model.fusion(*part) for part in parts])


def goal_count(model: WorldModel, frames: int) -> int:
    """How many goals there are: those with a name, or every one of the ``frames``."""
    return model.size.goals if model.goal_image is None else frames


def conditioning(model: WorldModel, features: Tensor, goal: Tensor) -> Tensor:
    """c (..., C) of goals (...) below `goal_count`: names or frames, whose features are (N, E)."""
    if model.goal_image is None:
        return goal_codes(model.size.goals, model.size.conditioning)[goal]
    return model.goal_image(features[goal])
