"""Every named model size, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class ModelSize:
    """Widths of a world model.

    image_size     edge of the square RGB picture, pixels
    channels       channels of the two 3x3 convolutions (the first has stride 2)
    keypoints      spatial-softmax keypoints; the image feature has 2 numbers a keypoint
    proprio        joint positions and velocities
    action         action dimensions
    latent         z
    conditioning   c
    fusion         hidden widths of the network that fuses image feature and proprioception
    dynamics       width of the layer that feeds the GRU
    head           hidden width of the cost and value heads
    goals          targets that an instruction can name
    state          numbers in the privileged state, for the probe
    """

    image_size: int = 64
    channels: tuple[int, int] = (16, 16)
    keypoints: int = 32
    proprio: int = 8
    action: int = 4
    latent: int = 32
    conditioning: int = 16
    fusion: tuple[int, int] = (128, 64)
    dynamics: int = 64
    head: int = 64
    goals: int = 4
    state: int = 15

    @property
    def features(self) -> int:
        """Width of the image feature e."""
        return 2 * self.keypoints

    @property
    def macs_per_model_step(self) -> int:
        """Multiply-accumulates of one model step and its cost, c folded into the biases."""
        gru = 3 * self.latent * (self.dynamics + self.latent)
        head = self.head * (self.latent + 1)
        return self.dynamics * (self.latent + self.action) + gru + head

    def to_dict(self) -> dict[str, object]:
        """As JSON writes it."""
        return asdict(self)


SIZES: dict[str, ModelSize] = {
    "reach_student": ModelSize(),
    "miniature": ModelSize(channels=(4, 4), keypoints=8, fusion=(32, 32), dynamics=32, head=32),
}


def find_size(name: str) -> ModelSize:
    """The size called ``name``.

    Raises:
        SdiwmError: there is none.
    """
    if name not in SIZES:
        raise SdiwmError(f"unknown model size '{name}': choose one of {', '.join(SIZES)}")
    return SIZES[name]
