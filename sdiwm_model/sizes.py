"""Every named model size, in one table."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import NoReturn

from sdiwm_model.errors import SdiwmError

ENCODERS = ("keypoints", "mobilenet", "vit")
DYNAMICS_KINDS = ("gru", "transformer")
TILE = 4  # widths that the int8 engine takes are multiples of this
READERS = 16  # attention readouts of a vision transformer's patch tokens
MAY_BE_ZERO = ("proprio", "prior", "state")


@dataclass(frozen=True)
class ModelSize:
    """Widths of a world model; those that contradict each other are refused (SdiwmError).

    encoder        "keypoints" (two convolutions, spatial softmax), "mobilenet" or "vit"
    image_size     edge of the square RGB picture, pixels
    cameras        pictures of one moment, side by side in the channels
    frames         pictures that a latent is made of, one model step apart: 1 to 3
    channels       keypoints: of the two 3x3 convolutions (the first has stride 2);
                   mobilenet: at half and at a quarter of the picture's resolution
    keypoints      spatial-softmax keypoints, each two numbers of the image feature; not for vit
    patch          vit: edge of a patch, pixels
    vit_width, vit_depth, vit_heads
                   vit: numbers a token, blocks, attention heads
    vit_features   vit: width of the image feature of one camera
    proprio        joint positions and velocities; 0 where there are none
    action         action dimensions
    latent         z
    conditioning   c
    fusion         hidden widths of the network that fuses image feature and proprioception
    dynamics_kind  "gru" or "transformer"
    dynamics       width of the layer that feeds the GRU; transformer: numbers a token
    dynamics_depth, dynamics_heads
                   transformer: blocks, attention heads
    context        transformer: model steps that are predicted jointly
    lipschitz      bound on how much the dynamics stretches a difference of latents; 0 for none
    head           hidden width of the cost and value heads
    ensemble       cost heads, whose disagreement a planner may avoid; 1 for one
    prior          hidden width of the policy prior; 0 for none
    plan_horizon   model steps in the action sequence that the prior proposes
    goal_image     whether the goal is told by a picture instead of words
    goals          targets that an instruction can name
    state          numbers in the privileged state, for the probe
    """

    encoder: str = "keypoints"
    image_size: int = 64
    cameras: int = 1
    frames: int = 1
    channels: tuple[int, int] = (16, 16)
    keypoints: int = 32
    patch: int = 8
    vit_width: int = 384
    vit_depth: int = 12
    vit_heads: int = 6
    vit_features: int = 256
    proprio: int = 8
    action: int = 4
    latent: int = 32
    conditioning: int = 16
    fusion: tuple[int, int] = (128, 64)
    dynamics_kind: str = "gru"
    dynamics: int = 64
    dynamics_depth: int = 6
    dynamics_heads: int = 6
    context: int = 16
    lipschitz: float = 0.0
    head: int = 64
    ensemble: int = 1
    prior: int = 0
    plan_horizon: int = 16
    goal_image: bool = False
    goals: int = 4
    state: int = 15

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_numbers()
        self._check_encoder()
        self._check_widths()

    @property
    def features(self) -> int:
        """Width of the features of one moment's pictures."""
        one = self.vit_features if self.encoder == "vit" else 2 * self.keypoints
        return one * self.cameras

    @property
    def macs_per_model_step(self) -> int:
        """Multiply-accumulates of one step of a GRU and its cost, c folded into the biases."""
        gru = 3 * self.latent * (self.dynamics + self.latent)
        head = self.head * (self.latent + 1)
        return self.dynamics * (self.latent + self.action) + gru + head

    def to_dict(self) -> dict[str, object]:
        """As JSON writes it."""
        return asdict(self)

    def _check_kinds(self) -> None:
        for name, known in (("encoder", ENCODERS), ("dynamics_kind", DYNAMICS_KINDS)):
            if getattr(self, name) not in known:
                _refuse(name, getattr(self, name), f"choose one of {', '.join(known)}")

    def _check_numbers(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in ("channels", "fusion"):
                if len(value) != 2 or not all(type(n) is int and n > 0 for n in value):
                    _refuse(name, value, "use two whole numbers above 0")
            elif type(field.default) is int:
                least = 0 if name in MAY_BE_ZERO else 1
                if type(value) is not int or value < least:
                    _refuse(name, value, f"use a whole number of at least {least}")
        if self.frames > 3:
            _refuse("frames", self.frames, "use 1, 2 or 3")
        if not 0 <= self.lipschitz < math.inf:
            _refuse("lipschitz", self.lipschitz, "use 0 for none, or a positive bound")

    def _check_encoder(self) -> None:
        steps = {"keypoints": 2, "mobilenet": 4, "vit": self.patch}
        self._check_multiple("image_size", steps[self.encoder])
        if self.encoder == "mobilenet" and min(self.channels) < TILE:
            _refuse("channels", self.channels, f"a mobilenet needs at least {TILE} of each")
        if self.encoder == "vit":
            self._check_multiple("vit_width", self.vit_heads, "'vit_heads'")
            self._check_multiple("vit_width", 4)
            self._check_multiple("vit_features", READERS)

    def _check_widths(self) -> None:
        for name in ("latent", "dynamics", "head"):
            self._check_multiple(name, TILE)
        self._check_multiple("head", self.ensemble, "'ensemble'")
        if self.conditioning & (self.conditioning - 1) or self.goals >= self.conditioning:
            _refuse(
                "conditioning", self.conditioning, f"use a power of two above goals = {self.goals}"
            )
        if self.dynamics_kind == "transformer":
            self._check_multiple("dynamics", self.dynamics_heads, "'dynamics_heads'")
            if self.lipschitz:
                _refuse("lipschitz", self.lipschitz, "a transformer has no such bound: use 0")

    def _check_multiple(self, name: str, step: int, whose: str = "") -> None:
        if getattr(self, name) % step:
            named = f"{whose} = {step}" if whose else str(step)
            _refuse(name, getattr(self, name), f"use a multiple of {named}")


def _refuse(name: str, value: object, remedy: str) -> NoReturn:
    raise SdiwmError(f"model size field '{name}' is {value!r}: {remedy}")


def _teacher(width: int, depth: int, heads: int) -> ModelSize:
    """A vision transformer with a transformer dynamics as wide."""
    return ModelSize(
        encoder="vit",
        vit_width=width,
        vit_depth=depth,
        vit_heads=heads,
        latent=256,
        fusion=(1024, 512),
        dynamics_kind="transformer",
        dynamics=width,
        dynamics_heads=heads,
        head=256,
    )


SIZES: dict[str, ModelSize] = {
    "reach_student": ModelSize(),
    "student_64": ModelSize(),
    "student_96": ModelSize(image_size=96),
    "student_mobilenet_64": ModelSize(encoder="mobilenet", channels=(16, 24)),
    "student_mobilenet_96": ModelSize(encoder="mobilenet", channels=(8, 16), image_size=96),
    "full": ModelSize(
        channels=(32, 32), keypoints=64, latent=256, fusion=(512, 256), dynamics=256, head=256
    ),
    "teacher_s": _teacher(384, 12, 6),
    "teacher_b": _teacher(768, 12, 12),
    "teacher_l": _teacher(1024, 24, 16),
    "teacher_h": _teacher(1280, 32, 16),
    "miniature": ModelSize(channels=(4, 4), keypoints=8, fusion=(32, 32), dynamics=32, head=32),
    "miniature_teacher": ModelSize(
        encoder="vit",
        patch=16,
        vit_width=32,
        vit_depth=2,
        vit_heads=2,
        vit_features=32,
        latent=64,
        fusion=(32, 32),
        dynamics_kind="transformer",
        dynamics=32,
        dynamics_depth=2,
        dynamics_heads=2,
        context=4,
        head=32,
    ),
}


def find_size(name: str) -> ModelSize:
    """The size called ``name``.

    Raises:
        SdiwmError: there is none.
    """
    if name not in SIZES:
        raise SdiwmError(f"unknown model size '{name}': choose one of {', '.join(SIZES)}")
    return SIZES[name]
