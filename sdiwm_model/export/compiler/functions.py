"""Functions of one number that ONNX names, for elementwise nodes and their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.export.compiler.graph import INFINITY, Floats

Function = Callable[[Floats], Floats]


def clip(low: float, high: float) -> Function:
    """Clamp to [low, high]."""

    def clipped(x: Floats) -> Floats:
        return np.clip(x, low, high)

    clipped.limits = (low, high)  # type: ignore[attr-defined]
    return clipped


def limits(function: Function) -> tuple[float, float] | None:
    """What a `clip` clamps to; None for any other function."""
    found: tuple[float, float] | None = getattr(function, "limits", None)
    return found


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), for any x without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def elementwise(
    operator: str, given: Mapping[str, Any], constants: Sequence[NDArray[Any] | None]
) -> tuple[Function, float] | None:
    """What an ONNX operator does to each number, and the magnitude beyond which it is constant.

    `given` are its attributes, `constants` its inputs after the first. None for operators that
    are not elementwise.
    """
    alpha, beta = given.get("alpha"), given.get("beta")
    match operator:
        case "Relu":
            return clip(0.0, INFINITY), INFINITY
        case "Clip":
            low, high = _clip_limits(given, constants)
            return clip(low, high), INFINITY
        case "Tanh":
            return np.tanh, 8.0
        case "Sigmoid":
            return sigmoid, 8.0
        case "HardSigmoid":
            slope = 0.2 if alpha is None else alpha
            shift = 0.5 if beta is None else beta
            edge = max(abs((0 - shift) / slope), abs((1 - shift) / slope)) if slope else 1.0
            return (lambda x: np.clip(slope * x + shift, 0.0, 1.0)), edge
        case "HardSwish":
            return (lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0)), INFINITY
        case "LeakyRelu":
            leak = 0.01 if alpha is None else alpha
            return (lambda x: np.where(x < 0, leak * x, x)), INFINITY
        case "Elu":
            scale = 1.0 if alpha is None else alpha
            return (lambda x: np.where(x < 0, scale * np.expm1(np.minimum(x, 0)), x)), INFINITY
        case "Softplus":
            return (lambda x: np.logaddexp(0.0, x)), INFINITY
        case "Abs":
            return np.abs, INFINITY
        case "Neg":
            return np.negative, INFINITY
    return None


def _clip_limits(
    given: Mapping[str, Any], constants: Sequence[NDArray[Any] | None]
) -> tuple[float, float]:
    bounds = [None if c is None else float(c) for c in (*constants, None, None)[:2]]
    low = bounds[0] if bounds[0] is not None else given.get("min", -INFINITY)
    high = bounds[1] if bounds[1] is not None else given.get("max", INFINITY)
    return low, high
