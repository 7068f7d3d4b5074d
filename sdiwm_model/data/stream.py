"""Clips for training, batch after batch: the one interface that every training loop reads through.

A clip is T consecutive frames of one episode or video. All loaders walk the same global order:
one seeded permutation of all clips an epoch, epoch after epoch without a gap. A step of W ranks
takes the next W * B clips of it, rank r the r-th B of them. The state counts clips of that order
and knows nothing of ranks, so a run that stopped in the middle of an epoch goes on with exactly
the clips that come next, whatever its new number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.data.episodes import EpisodeSpec


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames.

    frames uint8 (B, T, H, W, 3); columns: float32 (B, T, width) of each robot column that the data
    has (proprio, action, goal_cost, state), none for video; clip int64 (B,): number of each clip,
    0 .. clips - 1; first int64 (B,): at which step of its episode each clip begins.
    """

    frames: NDArray[np.uint8]
    columns: Mapping[str, NDArray[np.float32]]
    clip: NDArray[np.int64]
    first: NDArray[np.int64]


@runtime_checkable
class ClipLoader(Protocol):
    """Yields batches for ever; the consumer counts its own steps.

    spec: shapes of one time step; clips: how many an epoch has; short: episodes that are shorter
    than a clip, which no batch shows. Raises SdiwmError, while
    iterating, naming a shard that cannot be read: no clip is ever left out in silence.
    """

    spec: EpisodeSpec
    clips: int
    short: int

    def __iter__(self) -> Iterator[ClipBatch]:
        """Yield from the current state on; a new iterator ends the one before it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """{epoch, sample, seed, clips, data}: of the batches handed out, not those read ahead.

        `sample` clips of `epoch` have been handed out over all ranks; every rank has the same
        state after the same step. `data` is a fingerprint of the data and of the clips' length.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there, under any number of ranks; SdiwmError for a state of other data."""
        ...

    def close(self) -> None:
        """Let go of threads and memory; iterating again starts them anew."""
        ...
