"""What of the calibrated values the integers span: the settings that quantisation is free in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdiwm_model.compression.activations import Floats

CANDIDATES: dict[str, tuple[float, ...]] = {
    "cut": (1.0, 1.2, 1.5, 2.0),
    "alike": (0.25, 0.5, 1.0),
    "hidden": (0.85, 1.0, 1.25, 1.5),
    "cost": (0.7, 0.85, 1.0, 1.3),
    "value": (0.7, 0.85, 1.0, 1.3),
}


@dataclass(frozen=True)
class Ranges:
    """Ranges of the 8-bit tensors and of the gates; `CANDIDATES` has those that are tried.

    quantile     of the values seen in a tensor; the next three multiply it
    hidden       of each channel of the dynamics' hidden layer
    cost, value  of the heads' hidden layers
    alike        a hidden channel's share of the widest channel's range, at least; 1: all the same
    cut          a hidden channel saturates where its heaviest weight alone has driven a gate this
                 many times beyond 16 bits; up to there that weight saturates instead
    gates        share of a gate's largest sum that its 16 bits must hold, at the cost of the
                 resolution of that row's weights; 0: the 4 to 8 that its multiplier happens to give
    feedback     whether the rounding of one weight is made up for by others
    """

    quantile: float = 0.9999
    hidden: float = 1.5
    cost: float = 1.0
    value: float = 1.0
    alike: float = 0.5
    cut: float = 1.0
    gates: float = 1.0
    feedback: bool = True

    def high(self, x: Floats) -> float:
        """The quantile of all values of a tensor."""
        return max(float(np.quantile(x, self.quantile)), 1e-3)

    def of_channels(self, hidden: Floats) -> Floats:
        """The largest value (D,) that each channel of the hidden layer (N, D) is to hold."""
        widest = self.high(hidden)
        own = np.maximum(np.quantile(hidden, self.quantile, axis=0), self.alike * widest)
        return (self.hidden * own).astype(np.float32)
