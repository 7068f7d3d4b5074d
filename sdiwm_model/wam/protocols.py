"""The seams of the world-action model: how a chunk is denoised, and who computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array
from sdiwm_model.wam.sizes import WamSize

MODES = ("joint", "prefill", "inverse", "policy")
MOST_STEPS = 100


@dataclass(frozen=True)
class StepPair:
    """How often each modality is denoised for one chunk, and in which order.

    video    steps of the imagined future; 0 for "prefill" and "policy", else 1 or more
    action   steps of the actions, 1 or more
    mode     "joint": both together, the future ahead of the actions where it takes fewer steps
             "prefill": the future stays noise that the video expert reads once
             "inverse": the future is imagined to its end, then the actions that lead there
             "policy": no future at all
    """

    video: int = 1
    action: int = 2
    mode: str = "joint"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SdiwmError(f"unknown mode '{self.mode}': choose one of {', '.join(MODES)}")
        for name, least in (("video", 0), ("action", 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= MOST_STEPS:
                raise SdiwmError(
                    f"{name} steps are {value!r}: use a whole number from {least} to {MOST_STEPS}"
                )
        if self.mode in ("prefill", "policy") and self.video:
            raise SdiwmError(f"mode '{self.mode}' takes no video steps, not {self.video}: use 0")
        if self.mode in ("joint", "inverse") and not self.video:
            raise SdiwmError(f"mode '{self.mode}' needs video steps: use 1 or more, or 'prefill'")

    def __str__(self) -> str:
        return f"{self.video}x{self.action} {self.mode}"


def parse_steps(text: str, mode: str | None = None) -> StepPair:
    """'1x2' -> StepPair(1, 2). Without ``mode`` 0 video steps mean "prefill", others "joint".

    Raises SdiwmError on another form or a pair that contradicts its mode.
    """
    video, cross, action = text.partition("x")
    if not (cross and video.isdecimal() and action.isdecimal()):
        raise SdiwmError(f"steps '{text}' are not of the form VIDEOxACTION, such as 1x2")
    return StepPair(int(video), int(action), mode or ("joint" if int(video) else "prefill"))


@runtime_checkable
class WamEngine(Protocol):
    """Executes a world-action model over one episode after another. SdiwmError on wrong shapes."""

    size: WamSize

    def begin(self) -> None:
        """Forget the episode."""
        ...

    def observe(self, o: Array) -> None:
        """Append one model step's observation o (O,) to the rolling cache."""
        ...

    def chunk(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """c (C,), noise (H, A), prefix (k, A) of actions already committed -> (H, A) in [-1, 1].

        The first k rows are the prefix. At least one `observe` comes before.
        """
        ...

    def chunks(self, c: Array, noise: Array, steps: StepPair, prefix: Array | None = None) -> Array:
        """The same for N draws of noise (N, H, A) -> (N, H, A)."""
        ...

    def imagine(self, c: Array, noise: Array, steps: StepPair) -> Array:
        """Future image features (F, E), every `size.stride` model steps; "policy" has none."""
        ...
