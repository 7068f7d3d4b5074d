"""Episodes as tensors, and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sdiwm_model.data.episodes import Episode
from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.history import CHANGE

FEATURE_CHUNK = 512
OTHERS = 3  # other moments of an episode that a picture is asked about


@dataclass(frozen=True)
class Experience:
    """All episodes of a data set end to end.

    frames uint8 (N, H, W, 3); proprio (N, P); action (N, A); cost (N, G) in cost units;
    state (N, S); starts, lengths (episodes,): where each episode lies in N; lags: whether a
    picture may be older than the joints that it meets.
    """

    frames: Tensor
    proprio: Tensor
    action: Tensor
    cost: Tensor
    state: Tensor
    starts: Tensor
    lengths: Tensor
    lags: bool = True

    @staticmethod
    def from_episodes(
        episodes: list[Episode], cost_unit: float = 0.1, lags: bool = True
    ) -> Experience:
        """Join episodes, their costs divided by ``cost_unit``; SdiwmError when there are none."""
        if not episodes:
            raise SdiwmError("the data folders hold no episodes: run 'sdiwm collect' first")

        def joined(field: str) -> Tensor:
            return torch.from_numpy(np.concatenate([getattr(e, field) for e in episodes]))

        lengths = torch.tensor([len(e) for e in episodes])
        return Experience(
            frames=joined("frames"),
            proprio=joined("proprio"),
            action=joined("action"),
            cost=joined("goal_cost") / cost_unit,
            state=joined("state"),
            starts=torch.cumsum(lengths, 0) - lengths,
            lengths=lengths,
            lags=lags,
        )


@dataclass(frozen=True)
class Windows:
    """A batch of sequences of K + 1 steps; each field is (B, K + 1, ...).

    episode, first (B,): which episode, and which step of it the sequence begins at;
    features are those of `with_history`: (B, K + 1, frames * E).
    """

    features: Tensor
    proprio: Tensor
    action: Tensor
    cost: Tensor
    state: Tensor
    episode: Tensor
    first: Tensor


def frame_indices(total: int, batch: int, generator: torch.Generator) -> Tensor:
    """Which frames an update sees, (batch,)."""
    return torch.randint(total, (batch,), generator=generator)


def other_moments(
    data: Experience, episode: Tensor, index: Tensor, span: int, generator: torch.Generator
) -> Tensor:
    """`OTHERS` indices for each of ``index`` (B,), at most ``span`` steps away: (OTHERS, B).

    They stay in the same episode, whose number ``episode`` (B,) holds.
    """
    first, last = data.starts[episode], data.starts[episode] + data.lengths[episode] - 1
    low, high = torch.maximum(index - span, first), torch.minimum(index + span, last)
    share = torch.rand(OTHERS, len(index), generator=generator)
    return (low + share * (high - low + 1)).long()


def draw_windows(
    data: Experience,
    features: Tensor,
    batch: int,
    horizon: int,
    generator: torch.Generator,
    frames: int = 1,
) -> Windows:
    """Sequences that never cross an episode.

    Where pictures lag, half of the sequences have image features one model step older than the
    joints, as in a control loop whose camera is slower than its joint states.
    """
    episode = torch.randint(len(data.lengths), (batch,), generator=generator)
    room = data.lengths[episode] - horizon - 1  # starts 1 .. length - horizon - 1
    first = 1 + (torch.rand(batch, generator=generator) * room).long()
    index = (data.starts[episode] + first)[:, None] + torch.arange(horizon + 1)
    lag = (torch.rand(batch, 1, generator=generator) < 0.5).long() * data.lags
    return Windows(
        with_history(features, index - lag, data.starts[episode, None], frames),
        data.proprio[index],
        data.action[index],
        data.cost[index],
        data.state[index],
        episode,
        first,
    )


def with_history(features: Tensor, index: Tensor, first: Tensor, frames: int) -> Tensor:
    """What `FeatureHistory` makes of features (N, E) up to ``index``, (..., frames * E).

    Args:
        first: index of the episode's first step, which stands in for those before it.
    """
    newest = features[index]
    earlier = [features[torch.maximum(index - k, first)] for k in range(1, frames)]
    return torch.cat([newest, *(CHANGE * (newest - each) for each in earlier)], dim=-1)


def all_with_history(data: Experience, features: Tensor, frames: int) -> Tensor:
    """The same at every step of ``data``, (N, frames * E)."""
    first = torch.repeat_interleave(data.starts, data.lengths)
    return with_history(features, torch.arange(len(features)), first, frames)


@torch.no_grad()
def encode_frames(vision: nn.Module, frames: Tensor) -> Tensor:
    """Image features of all frames, (N, E)."""
    return torch.cat([vision(chunk) for chunk in frames.split(FEATURE_CHUNK)])
