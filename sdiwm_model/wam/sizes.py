"""Every named size of a world-action model, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import ModelSize

POINT = 4  # numbers of one token of what is seen: x and y of two keypoints
PATCH = 8  # numbers of one future token: four keypoints, the video at half resolution
MAY_BE_ZERO = ("proprio",)


@dataclass(frozen=True)
class WamSize:
    """Widths of a world-action model; those that contradict each other are refused (SdiwmError).

    The first five are the world model's, whose frozen encoder this one stands on.

    latent         Z, width of z
    features       E, width of the image features of one moment
    proprio        P, joint positions and velocities; 0 where there are none
    action         A, action dimensions
    conditioning   C, width of c
    chunk          H, model steps in one chunk of actions
    frames         F, future moments that are imagined, evenly over the chunk, its end included
    window         W, observations that are looked back on, one a model step, the newest included
    depth          layers of both experts
    heads, head_width
                   attention heads that the experts share, and numbers in each
    video_width, action_width
                   numbers a token in each expert
    video_mlp, action_mlp
                   hidden units of each expert's MLP, in units of its width
    anchor_width   hidden units of each layer of the anchor
    """

    latent: int = 32
    features: int = 64
    proprio: int = 8
    action: int = 4
    conditioning: int = 16
    chunk: int = 16
    frames: int = 2
    window: int = 4
    depth: int = 4
    heads: int = 4
    head_width: int = 32
    video_width: int = 96
    action_width: int = 128
    video_mlp: int = 2
    action_mlp: int = 4
    anchor_width: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), int(field.name not in MAY_BE_ZERO)
            if type(value) is not int or value < least:
                self._refuse(field.name, f"use a whole number of at least {least}")
        if self.features % PATCH:
            self._refuse("features", f"use a multiple of {PATCH}: four keypoints make a token")
        if self.chunk % self.frames:
            self._refuse("chunk", f"use a multiple of 'frames' = {self.frames}")
        for name in ("video_width", "action_width"):
            if getattr(self, name) % 2:
                self._refuse(name, "use an even number")

    @property
    def observation(self) -> int:
        """O, width of an observation [z | newest image features | normalised proprio]."""
        return self.latent + self.features + self.proprio

    @property
    def seen_tokens(self) -> int:
        """Tokens of one observation: two keypoints each, and one of z and proprio."""
        return self.features // POINT + 1

    @property
    def frame_tokens(self) -> int:
        """Tokens of one imagined moment."""
        return self.features // PATCH

    @property
    def video_tokens(self) -> int:
        """Tokens of the whole imagined future."""
        return self.frames * self.frame_tokens

    @property
    def stride(self) -> int:
        """Model steps from one imagined moment to the next."""
        return self.chunk // self.frames

    def to_dict(self) -> dict[str, int]:
        """As JSON writes it."""
        return asdict(self)

    def _refuse(self, name: str, remedy: str) -> None:
        raise SdiwmError(f"world-action model field '{name}' is {getattr(self, name)!r}: {remedy}")


WAM_SIZES: dict[str, WamSize] = {
    "compact": WamSize(),
    "base": WamSize(depth=6, video_width=128, video_mlp=4),
    "teacher": WamSize(depth=8, video_width=256, video_mlp=4),
    "miniature": WamSize(
        chunk=8,
        window=2,
        depth=2,
        heads=2,
        head_width=8,
        video_width=16,
        action_width=16,
        action_mlp=2,
        anchor_width=16,
    ),
}


def size_for(model: ModelSize, name: str = "compact", **changes: Any) -> WamSize:
    """The size called ``name`` on the encoder of ``model``, with ``changes`` of its fields.

    Raises:
        SdiwmError: there is no such size or field, or they contradict each other.
    """
    if name not in WAM_SIZES:
        known = ", ".join(WAM_SIZES)
        raise SdiwmError(f"unknown size '{name}' of a world-action model: choose one of {known}")
    given = {
        "latent": model.latent,
        "features": model.features,
        "proprio": model.proprio,
        "action": model.action,
        "conditioning": model.conditioning,
    }
    known_fields = {field.name for field in fields(WamSize)} - set(given)
    for field in changes:
        if field not in known_fields:
            raise SdiwmError(
                f"unknown field '{field}' of a world-action model's size: "
                f"choose one of {', '.join(sorted(known_fields))}"
            )
    return replace(WAM_SIZES[name], **(given | changes))
