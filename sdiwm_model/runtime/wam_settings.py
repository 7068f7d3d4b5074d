"""What is asked of a world-action model from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.chunks import ChunkSettings
from sdiwm_model.planning.overrides import overridden
from sdiwm_model.runtime.protocols import WAM_BACKENDS
from sdiwm_model.wam.checkpoint import WamManifest, read_wam_manifest
from sdiwm_model.wam.protocols import MODES, StepPair, parse_steps


@dataclass(frozen=True)
class WamSettings:
    """How chunks are made; "" means as the checkpoint says.

    steps         denoising steps VIDEOxACTION, such as 1x2
    mode          one of `MODES`
    every         model steps from the start of one chunk to that of the next, at least
    proposals     chunks among the candidates of wam+mppi
    delay         seconds that every chunk is made to take longer, to see what that costs
    asynchronous  in a thread, so that nobody waits; otherwise in lockstep, with `delay` alone
    """

    steps: str = ""
    mode: str = ""
    every: int = 1
    proposals: int = 4
    delay: float = 0.0
    asynchronous: bool = False

    def __post_init__(self) -> None:
        if self.mode and self.mode not in MODES:
            raise SdiwmError(f"wam.mode is '{self.mode}': choose one of {', '.join(MODES)}")
        if self.steps:
            parse_steps(self.steps, self.mode or None)
        if self.proposals < 1:
            raise SdiwmError(f"wam.proposals is {self.proposals}: use 1 or more")

    def step_pair(self, manifest: WamManifest) -> StepPair:
        """The steps; SdiwmError where the model was not trained for them."""
        steps = manifest.steps
        if self.steps:
            steps = parse_steps(self.steps, self.mode or None)
        elif self.mode:
            video = 0 if self.mode in ("prefill", "policy") else max(1, steps.video)
            steps = StepPair(video, steps.action, self.mode)
        manifest.check_steps(steps)
        return steps


def check_wam(
    folder: Path, base: Manifest, backend: str, settings: WamSettings
) -> tuple[WamManifest, ChunkSettings]:
    """What lies in the bundle ``folder``, and how ``backend`` makes chunks of it.

    Raises:
        SdiwmError: it holds no world-action model, or a damaged one, one of another encoder or of a
            newer format; the settings contradict it; or its goals are told by pictures.
    """
    manifest = read_wam_manifest(folder, base)
    if base.sizes.goal_image:
        raise SdiwmError(
            f"{folder}: a world-action model is told its goal in words, and this bundle's goals "
            "are shown by pictures: choose another back end"
        )
    count = settings.proposals if backend == "wam+mppi" else 1
    chunks = ChunkSettings(settings.step_pair(manifest), settings.every, settings.delay, count)
    chunks.check(manifest.size.chunk, base.dt)
    return manifest, chunks


def check_asked(backend: str, settings: WamSettings) -> None:
    """Raise SdiwmError where something is asked of a back end that makes no chunks."""
    if backend not in WAM_BACKENDS and settings != WamSettings():
        raise SdiwmError(
            f"the back end '{backend}' makes no chunks, and has no delay or steps of theirs: "
            f"use {' or '.join(WAM_BACKENDS)}"
        )


def read_wam_settings(changes: Sequence[str], delay_ms: float) -> WamSettings:
    """The settings of a command line: "NAME=VALUE" each, and the injected delay.

    Raises:
        SdiwmError: no such setting, or a value that makes no sense.
    """
    fixed = ("delay", "asynchronous")
    settings = overridden(WamSettings(), changes, "setting of the world-action model", fixed)
    if not 0.0 <= delay_ms < 1e6:
        raise SdiwmError(f"--delay-ms is {delay_ms}: use 0 ms or more")
    return replace(settings, delay=1e-3 * delay_ms)
