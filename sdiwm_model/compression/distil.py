"""From a large world model to a small one: what a teacher adds to the training of a student."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sdiwm_model.checkpoint import Manifest, read_manifest
from sdiwm_model.compression.guided_stages import GuidedVision, GuidedWorld, Lessons
from sdiwm_model.compression.teacher import Seen, load_teacher
from sdiwm_model.errors import SdiwmError
from sdiwm_model.report import commit
from sdiwm_model.training.batches import Experience
from sdiwm_model.training.checks import open_data, size_for
from sdiwm_model.training.config import TrainingConfig
from sdiwm_model.training.run import train
from sdiwm_model.training.stages import Stage
from sdiwm_model.training.trainer import Interruption
from sdiwm_model.world_model import WorldModel


def distil(
    teacher: Path,
    data: Sequence[Path],
    out: Path,
    config: TrainingConfig,
    seed: int,
    after_update: Interruption = lambda stage, done: None,
) -> dict[str, Any]:
    """Train a student of ``config``'s size on ``data``, taught by any world model of the same task.

    To the losses of `training.run.train` come those of config.distillation: image features,
    latents and rollouts told through learned projections, candidates of the teacher's plans ranked
    as it ranks them, and a prior that proposes its plans. ``out`` is a run like any other. Stopped,
    it goes on with the same call.

    Returns:
        What the manifest's provenance says of it: the teacher, the settings, and how far teacher
        and student agree on plans that were not learned from.

    Raises:
        SdiwmError: what `train` refuses; a teacher that is of another task, whose weights are not
            finite, or of which nothing is to be learned. All of it is found before anything is
            written.
    """
    reader = open_data(data)
    size = size_for(config, reader.spec)
    if out.exists() and out.resolve() == teacher.resolve():
        raise SdiwmError(f"--out {out} is the teacher: name another folder")
    settings = asdict(config.distillation)
    if not any(value for name, value in settings.items() if name.endswith("_weight")):
        raise SdiwmError(
            "every weight of training setting 'distillation' is 0, which leaves nothing to learn "
            "from the teacher: set one, or use `sdiwm train`"
        )
    model, manifest = load_teacher(teacher, reader.spec)
    if config.distillation.prior_weight and size.prior:
        config = replace(config, prior_plans=0)  # the teacher's plans take the place of its own
    guide = Distiller(model, manifest, config, seed)
    train(list(data), out, config, seed, after_update=after_update, guide=guide)
    return dict(read_manifest(out).provenance["distil"])


class Distiller:
    """A teacher as `training.guide.Guide`."""

    def __init__(
        self, teacher: WorldModel, origin: Manifest, config: TrainingConfig, seed: int
    ) -> None:
        self._teacher, self._origin, self._config, self._seed = teacher, origin, config, seed
        self._seen: Seen | None = None
        self._world: GuidedWorld | None = None

    def identity(self) -> dict[str, Any]:
        return {"of": self._origin.model_hash, "settings": asdict(self._config.distillation)}

    def vision(self, stage: Stage, model: WorldModel, data: Experience) -> Stage:
        if not self._config.distillation.features_weight or not stage.steps:
            return stage
        return GuidedVision(stage, model, self._look(data), self._config)

    def world(self, stage: Stage, model: WorldModel, data: Experience, features: Tensor) -> Stage:
        seen = self._look(data)
        lessons = Lessons.of(seen, self._config, self._seed)
        self._world = GuidedWorld(stage, model, features, seen, lessons, self._config)
        return self._world

    def about(self) -> dict[str, Any]:
        assert self._world is not None
        about = {
            "command": shlex.join(["sdiwm", *sys.argv[1:]]),
            "commit": commit(),
            "seed": self._seed,
            **self.identity(),
            "agreement": self._world.agreement(),
            "teacher": self._origin.provenance,
        }
        return {"distil": about}

    def _look(self, data: Experience) -> Seen:
        if self._seen is None:
            self._seen = Seen(self._teacher, data)
        return self._seen
