"""Episodes as tensors, and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdiwm_model.data.episodes import Episode
from sdiwm_model.encoder import ImageEncoder
from sdiwm_model.errors import SdiwmError
from sdiwm_model.world_model import COST_UNIT

FEATURE_CHUNK = 512


@dataclass(frozen=True)
class Experience:
    """All episodes of a data set end to end.

    frames uint8 (N, H, W, 3); proprio (N, P); action (N, A); cost (N, G) in cost units;
    state (N, S); starts, lengths (episodes,): where each episode lies in N.
    """

    frames: Tensor
    proprio: Tensor
    action: Tensor
    cost: Tensor
    state: Tensor
    starts: Tensor
    lengths: Tensor

    @staticmethod
    def from_episodes(episodes: list[Episode]) -> Experience:
        """Join episodes; SdiwmError when there are none."""
        if not episodes:
            raise SdiwmError("the data folders hold no episodes: run 'sdiwm collect' first")

        def joined(field: str) -> Tensor:
            return torch.from_numpy(np.concatenate([getattr(e, field) for e in episodes]))

        lengths = torch.tensor([len(e) for e in episodes])
        return Experience(
            frames=joined("frames"),
            proprio=joined("proprio"),
            action=joined("action"),
            cost=joined("goal_cost") / COST_UNIT,
            state=joined("state"),
            starts=torch.cumsum(lengths, 0) - lengths,
            lengths=lengths,
        )


@dataclass(frozen=True)
class Windows:
    """A batch of sequences of K + 1 steps; each field is (B, K + 1, ...)."""

    features: Tensor
    proprio: Tensor
    action: Tensor
    cost: Tensor
    state: Tensor


def frame_indices(total: int, batch: int, generator: torch.Generator) -> Tensor:
    """Which frames an update sees, (batch,)."""
    return torch.randint(total, (batch,), generator=generator)


def draw_windows(
    data: Experience, features: Tensor, batch: int, horizon: int, generator: torch.Generator
) -> Windows:
    """Sequences that never cross an episode.

    In half of them the image feature is one model step older than the joints, as it may be in the
    control loop, where the camera is slower than the joint states.
    """
    episode = torch.randint(len(data.lengths), (batch,), generator=generator)
    room = data.lengths[episode] - horizon - 1  # starts 1 .. length - horizon - 1
    first = 1 + (torch.rand(batch, generator=generator) * room).long()
    index = (data.starts[episode] + first)[:, None] + torch.arange(horizon + 1)
    lag = (torch.rand(batch, 1, generator=generator) < 0.5).long()
    return Windows(
        features[index - lag],
        data.proprio[index],
        data.action[index],
        data.cost[index],
        data.state[index],
    )


@torch.no_grad()
def encode_frames(vision: ImageEncoder, frames: Tensor) -> Tensor:
    """Image features of all frames, (N, E)."""
    return torch.cat([vision(chunk) for chunk in frames.split(FEATURE_CHUNK)])
