"""Runs a recipe's steps one after another, each in a folder of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import MANIFEST, read_manifest
from sdiwm_model.compression.recipe import Recipe
from sdiwm_model.compression.steps import Foreseen, Step
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.errors import SdiwmError
from sdiwm_model.training.checks import check_data_fits, open_data
from sdiwm_model.training.finish import CALIBRATION

KEY_DIGITS = 10


@dataclass(frozen=True)
class Source:
    """The model that is compressed, and the episodes that steps learn from."""

    model: Path
    data: tuple[Path, ...]
    seed: int

    def foreseen(self) -> Foreseen:
        """What is known of it.

        Raises:
            SdiwmError: the folder is no model, or the data is damaged or of another task.
        """
        manifest = read_manifest(self.model)
        reader = self._reader()
        if reader is not None:
            check_data_fits(manifest, self.model, reader.spec)
        calibrated = (self.model / CALIBRATION).is_file()
        return Foreseen(str(self.model), manifest.sizes, manifest.planner, calibrated, reader)

    def identity(self) -> list[Any]:
        """What every result depends on."""
        reader = self._reader()
        shards = (
            [] if reader is None else [s["sha256"] for m in reader.manifests for s in m["shards"]]
        )
        return [read_manifest(self.model).model_hash, shards, self.seed]

    def _reader(self) -> ShardReader | None:
        return open_data(self.data) if self.data else None


def check_data_given(recipe: Recipe, data: Sequence[Path]) -> None:
    """Refuse a recipe that needs episodes where none are named."""
    for step in recipe.steps:
        if step.needs_data and not data:
            raise SdiwmError(f"step '{step.name}' learns from episodes: name some with --data DIR")


def run_steps(steps: Sequence[Step], source: Source, work: Path) -> list[Path]:
    """The run folder of each step, made now where it is not there yet.

    A folder is named by all that went into it, so that recipes that begin alike share their first
    steps, and another seed or another setting never meets what an earlier call left behind.
    """
    chain, before, folders = source.identity(), source.model, []
    for number, step in enumerate(steps, 1):
        chain = [*chain, step.name, step.settings()]
        text = json.dumps(chain, sort_keys=True).encode()
        key = hashlib.sha256(text).hexdigest()[:KEY_DIGITS]
        folder = work / f"{number}-{step.name}-{key}"
        if not (folder / MANIFEST).is_file():
            print(f"step {number} of {len(steps)}: {step.name}, in {folder}", flush=True)
            step.run(before, source.data, folder, source.seed)
        folders.append(folder)
        before = folder
    return folders


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The recipe with a share of its updates."""
    return replace(recipe, steps=tuple(step.shortened(share) for step in recipe.steps))
