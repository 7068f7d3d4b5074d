"""What a training run is told."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from sdiwm_model.errors import SdiwmError
from sdiwm_model.sizes import find_size


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one run; `make weights` says what the shipped `reach` weights change of them.

    size               a name from `sizes.SIZES`
    language_steps     updates of the language module
    vision_steps       updates of the image branch, on single frames
    world_steps        updates of everything else, on sequences of cached features
    vision_batch       frames an update
    world_batch        sequences an update; long ones count double
    horizon            model steps K of the open-loop rollouts
    long_horizon       K of every fourth update
    drift_weight, joints_weight, scene_weight, anti_collapse_weight, saturation_weight,
    value_weight       weights of the losses beside the cost's, which is 1
    state_weight       the same for the privileged state, which only a simulator knows
    discount           of the value head, a model step
    """

    size: str = "reach_student"
    language_steps: int = 4000
    vision_steps: int = 3000
    world_steps: int = 8000
    vision_batch: int = 128
    world_batch: int = 192
    vision_learning_rate: float = 2e-3
    world_learning_rate: float = 3e-3
    horizon: int = 16
    long_horizon: int = 48
    drift_weight: float = 0.5
    joints_weight: float = 0.3
    scene_weight: float = 0.3
    state_weight: float = 0.0
    anti_collapse_weight: float = 0.1
    saturation_weight: float = 0.1
    value_weight: float = 0.02
    discount: float = 0.9

    def __post_init__(self) -> None:
        find_size(self.size)
        for name in (f.name for f in fields(self) if f.name != "size"):
            if getattr(self, name) < 0:
                raise SdiwmError(f"training setting '{name}' is {getattr(self, name)}: use >= 0")
        for name, least in (
            ("horizon", 1),
            ("long_horizon", 1),
            ("vision_batch", 2),
            ("world_batch", 2),
        ):
            if getattr(self, name) < least:
                raise SdiwmError(
                    f"training setting '{name}' is {getattr(self, name)}: use >= {least}"
                )

    def check_against(self, steps: int) -> None:
        """Refuse rollouts that are longer than the shortest episode, of ``steps`` model steps."""
        longest = max(self.horizon, self.long_horizon)
        if longest + 2 > steps:
            raise SdiwmError(
                f"training setting 'long_horizon' is {longest}, but the shortest episode has "
                f"{steps} model steps: use at most {steps - 2}"
            )


def configure(settings: list[str]) -> TrainingConfig:
    """The defaults, changed by 'name=value' settings.

    Raises:
        SdiwmError: an unknown name or a value of the wrong type.
    """
    config = TrainingConfig()
    known = {f.name: type(getattr(config, f.name)) for f in fields(config)}
    changes: dict[str, object] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise SdiwmError(f"--set {setting}: unknown setting; known are {', '.join(known)}")
        try:
            changes[name] = known[name](value)
        except ValueError:
            wanted = known[name].__name__
            raise SdiwmError(f"--set {setting}: '{value}' is not a {wanted}") from None
    return replace(config, **changes)  # type: ignore[arg-type]
