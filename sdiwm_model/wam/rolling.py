"""What the engine keeps of an episode: as much after ten thousand model steps as after a few."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.planning.protocols import Array
from sdiwm_model.wam.sizes import WamSize


class RollingCache:
    """Keys and values of the last W observations, in W slots of which the oldest is overwritten.

    keys, values   one array (1, heads, W * seen_tokens, head_width) for each layer
    ages           (W,) model steps since each slot was seen; W where it is empty
    """

    def __init__(self, size: WamSize) -> None:
        shape = (1, size.heads, size.window * size.seen_tokens, size.head_width)
        self.keys = [np.zeros(shape, np.float32) for _ in range(size.depth)]
        self.values = [np.zeros(shape, np.float32) for _ in range(size.depth)]
        self.ages: NDArray[np.int64] = np.full(size.window, size.window, np.int64)
        self._window, self._tokens = size.window, size.seen_tokens
        self._slot = 0
        self._named = {f"keys_{i}": each for i, each in enumerate(self.keys)}
        self._named |= {f"values_{i}": each for i, each in enumerate(self.values)}

    def advance(self) -> None:
        """A model step on: the oldest slot is the one that `put` will write."""
        self._slot = (self._slot + 1) % self._window
        self.ages = np.minimum(self.ages + 1, self._window)
        self.ages[self._slot] = self._window

    def ages_before(self) -> NDArray[np.int64]:
        """Ages of the slots but for the newest, which nobody may read yet."""
        ages = self.ages.copy()
        ages[self._slot] = self._window
        return ages

    def feed(self) -> dict[str, Array]:
        """`keys_i`, `values_i` of each layer, as graphs take them."""
        return self._named

    def put(self, found: Mapping[str, Array]) -> None:
        """`key_i`, `value_i` (1, heads, seen_tokens, head_width) of the newest observation."""
        at = slice(self._slot * self._tokens, (self._slot + 1) * self._tokens)
        for i, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            keys[:, :, at], values[:, :, at] = found[f"key_{i}"], found[f"value_{i}"]
        self.ages[self._slot] = 0

    def newest_values(self) -> Array:
        """Of the last layer, (1, heads, seen_tokens, head_width)."""
        at = slice(self._slot * self._tokens, (self._slot + 1) * self._tokens)
        return np.ascontiguousarray(self.values[-1][:, :, at])


class History:
    """The last observations, as many as the newest can know of through all layers."""

    def __init__(self, size: WamSize) -> None:
        self._window = size.window
        self._seen: deque[Array] = deque(maxlen=size.depth * (size.window - 1) + 1)

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, o: Array) -> None:
        """The newest observation (O,)."""
        self._seen.append(o)

    def newest(self) -> Array:
        """(O,)."""
        return self._seen[-1]

    def feed(self) -> dict[str, NDArray[Any]]:
        """What the graph `recompute` takes."""
        steps = np.arange(len(self._seen))
        index = steps[:, None] - np.arange(self._window)
        return {
            "episode": np.stack(self._seen),
            "index": np.maximum(index, 0),
            "missing": (index < 0).astype(np.float32),
        }

    def ages(self) -> NDArray[np.int64]:
        """(W,) of the window, newest first; W where the episode is shorter."""
        ages = np.arange(self._window)
        return np.where(ages < len(self._seen), ages, self._window)
