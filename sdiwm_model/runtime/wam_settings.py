"""What is asked of a world-action model from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.chunks import ChunkSettings
from sdiwm_model.planning.overrides import overridden
from sdiwm_model.wam.protocols import MODES, StepPair, parse_steps

if TYPE_CHECKING:
    from sdiwm_model.wam.checkpoint import WamManifest


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

    def chunk_settings(self, manifest: WamManifest, count: int) -> ChunkSettings:
        """For streams of ``count`` chunks at a time."""
        return ChunkSettings(self.step_pair(manifest), self.every, self.delay, count)


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
