"""Refuse bad input at a runtime's door, in one sentence that names the argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Array, PlannerSettings


def check_image(image: NDArray[np.uint8], size: int, cameras: int) -> None:
    """Raise SdiwmError unless `image` is uint8 (size, size, 3 * cameras)."""
    shape = (size, size, 3 * cameras)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
        found = _describe(image)
        raise SdiwmError(f"image is {found}; this model takes uint8 {shape}: resize the camera.")


def as_floats(name: str, values: Array, shape: tuple[int | None, ...]) -> Array:
    """`values` as contiguous float32 of `shape` (None: any length); SdiwmError otherwise."""
    if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64):
        raise SdiwmError(f"{name} is {_describe(values)}; a float32 array is needed.")
    fits = values.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, values.shape, strict=True)
    )
    if not fits:
        text = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise SdiwmError(f"{name} has shape {values.shape}; this model takes {text}.")
    if not np.isfinite(values).all():
        raise SdiwmError(f"{name} holds a NaN or an infinity: check the sensor that it came from.")
    return np.ascontiguousarray(values, np.float32)


def check_disagreement(settings: PlannerSettings, ensemble: int) -> None:
    """Raise SdiwmError where a planner is to avoid the disagreement of a single cost head."""
    if settings.disagreement > 0.0 and ensemble < 2:
        raise SdiwmError(
            f"planner.disagreement is {settings.disagreement}, but this model has one cost head: "
            "set it to 0, or train a model whose size has an ensemble of 2 or more."
        )


def _describe(values: object) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} {values.shape}"
    return f"a {type(values).__name__}"
