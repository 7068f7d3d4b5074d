"""The data that a model's horizon is judged on: recorded episodes in the latents of its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sdiwm_model.data.shards import ShardReader
from sdiwm_model.evaluation import imagination
from sdiwm_model.evaluation.horizon import Array
from sdiwm_model.evaluation.imagination import Encoded, encode, spread_starts, windows
from sdiwm_model.runtime.protocols import Runtime

STARTS = 4


@dataclass(frozen=True)
class Folders:
    """Where the episodes lie: those for the statistics, and a folder of held-out ones a seed."""

    training: Path
    heldout: Sequence[Path]
    seeds: Sequence[int]


@dataclass(frozen=True)
class Study:
    """Data that several models of one encoder are judged on.

    training, heldout  episodes encoded by the float encoder: targets of every block
    steps              T
    seeds              of the shuffles; also how the held-out episodes are grouped
    groups             (E,) index into `seeds` of each held-out episode
    task               facts of the data manifest
    """

    training: Encoded
    heldout: Encoded
    steps: int
    seeds: Sequence[int]
    groups: np.ndarray
    task: dict[str, Any]

    @property
    def starts(self) -> np.ndarray:
        """First steps of the rollouts, the same in every episode, (S,)."""
        length = self.heldout.latents.shape[1]
        return spread_starts(length, self.steps, STARTS, self.heldout.frames - 1)

    @property
    def true(self) -> Array:
        """The latents to predict, (E, S, T, Z)."""
        return windows(self.heldout.latents, self.starts + 1, self.steps)

    @property
    def state(self) -> Array:
        """The privileged states at the same times, (E, S, T, state)."""
        return windows(self.heldout.state, self.starts + 1, self.steps)

    @property
    def actions(self) -> Array:
        """The recorded actions, (E, S, T, A)."""
        return windows(self.heldout.actions, self.starts, self.steps)

    def conditionings(self, runtime: Runtime) -> Array:
        """c (E, C) of every held-out episode."""
        sentences = [each[0] for each in self.task["train_instructions"]]
        return imagination.conditionings(runtime, self.heldout, sentences, self.seeds[0])


def load_study(runtime: Runtime, folders: Folders, steps: int) -> Study:
    """All episodes in the latents of this runtime's encoder."""
    readers = [ShardReader(folders.training), ShardReader(list(folders.heldout))]
    with tqdm(total=sum(map(len, readers)), desc="encode", unit="episode", disable=None) as bar:
        training, heldout = (encode(runtime, each.episodes(), bar.update) for each in readers)
    sizes = [len(ShardReader(folder)) for folder in folders.heldout]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return Study(training, heldout, steps, folders.seeds, groups, readers[1].task)
