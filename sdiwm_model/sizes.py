"""Every named model size, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class ModelSize:
    """Widths of a world model.

    encoder        "keypoints" (two convolutions, spatial softmax), "mobilenet" or "vit"
    image_size     edge of the square RGB picture, pixels
    cameras        pictures of one moment, side by side in the channels
    frames         pictures that a latent is made of, one model step apart: 1 to 3
    channels       channels of the two 3x3 convolutions (the first has stride 2)
    keypoints      spatial-softmax keypoints; the image feature has 2 numbers a keypoint
    proprio        joint positions and velocities; 0 where there are none
    action         action dimensions
    latent         z
    conditioning   c
    fusion         hidden widths of the network that fuses image feature and proprioception
    dynamics_kind  "gru" or "transformer"
    dynamics       width of the layer that feeds the GRU
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
    proprio: int = 8
    action: int = 4
    latent: int = 32
    conditioning: int = 16
    fusion: tuple[int, int] = (128, 64)
    dynamics_kind: str = "gru"
    dynamics: int = 64
    lipschitz: float = 0.0
    head: int = 64
    ensemble: int = 1
    prior: int = 0
    plan_horizon: int = 16
    goal_image: bool = False
    goals: int = 4
    state: int = 15

    @property
    def features(self) -> int:
        """Width of the features of one moment's pictures."""
        return 2 * self.keypoints * self.cameras

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
