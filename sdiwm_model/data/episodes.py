"""One episode in memory, and what every episode of a data set has in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class EpisodeSpec:
    """Shapes of one time step, and the task they belong to.

    image: (H, W, 3); proprio, action, goals, state: lengths P, A, G, S, all 0 for video.
    encoding: how frames lie on disk, "raw" or "jpeg" (see `frame_codec`).
    task: JSON-able facts about the task for whoever trains on it, e.g. name, dt (s), goals,
    train_instructions per goal, unrelated instructions.
    """

    image: tuple[int, int, int] = (64, 64, 3)
    proprio: int = 8
    action: int = 4
    goals: int = 4
    state: int = 15
    task: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = "raw"

    def columns(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return, per binary column, the little-endian dtype and the shape of one time step."""
        return {
            "frames": ("|u1", self.image),
            "proprio": ("<f4", (self.proprio,)),
            "action": ("<f4", (self.action,)),
            "goal_cost": ("<f4", (self.goals,)),
            "state": ("<f4", (self.state,)),
        }


@dataclass
class Episode:
    """T model steps: what was seen at the start of each, and the action held during it.

    frames uint8 (T, H, W, 3); proprio float32 (T, P); action float32 (T, A) in [-1, 1], the last
    one unused; goal_cost float32 (T, G) distance to each goal in metres; state float32 (T, S);
    goal: index of the instructed goal, -1 where the data has no goals; behaviour: what chose the
    actions; seed: of the reset; source: file or recording it came from; start: s into that.
    """

    frames: np.ndarray
    proprio: np.ndarray
    action: np.ndarray
    goal_cost: np.ndarray
    state: np.ndarray
    instruction: str
    goal: int
    behaviour: str
    seed: int
    source: str = ""
    start: float = 0.0

    def __len__(self) -> int:
        """Return T, the number of model steps."""
        return len(self.frames)

    def check(self, spec: EpisodeSpec) -> None:
        """Raise SdiwmError naming the first field whose shape, dtype or values break `spec`."""
        steps = len(self)
        if steps == 0:
            raise SdiwmError("an episode has no time step; drop it instead of writing it")
        for name, (dtype, shape) in spec.columns().items():
            array = getattr(self, name)
            if array.dtype != np.dtype(dtype) or array.shape != (steps, *shape):
                raise SdiwmError(
                    f"episode field '{name}' is {array.dtype} {array.shape}; expected "
                    f"{np.dtype(dtype)} {(steps, *shape)}"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise SdiwmError(f"episode field '{name}' holds NaN or infinity; drop the episode")
        if np.abs(self.action).max(initial=0.0) > 1.0:
            raise SdiwmError("episode field 'action' leaves [-1, 1]; scale it by the task's limits")
        if self.goal not in (range(spec.goals) if spec.goals else (-1,)):
            expected = f"0..{spec.goals - 1}" if spec.goals else "-1, since there are no goals"
            raise SdiwmError(f"episode field 'goal' is {self.goal}; expected {expected}")
