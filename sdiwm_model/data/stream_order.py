"""The order in which clips are handed out: known from a seed and a count, without any data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError


class GlobalOrder:
    """Endless sequence of clips: epoch e is a permutation of 0 .. clips - 1 by (seed, e).

    The permutation sorts the words of a Philox counter, whose stream numpy guarantees (that of
    its own shuffles it does not), so the order outlives the version of numpy.
    """

    def __init__(self, clips: int, seed: int, data: str) -> None:
        self.clips = clips
        self.seed = seed
        self.data = data
        self.position = 0  # clips handed out since the beginning of epoch 0
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def at(self, begin: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Epoch and clip, each (count,), of the positions begin .. begin + count - 1."""
        position = np.arange(begin, begin + count)
        epoch, place = np.divmod(position, self.clips)
        clip = np.empty(count, np.int64)
        for each in np.unique(epoch):
            chosen = epoch == each
            clip[chosen] = self._permutation(int(each))[place[chosen]]
        return epoch, clip

    def state_dict(self) -> dict[str, Any]:
        """The state that `ClipLoader.state_dict` describes."""
        epoch, sample = divmod(self.position, self.clips)
        return {
            "epoch": epoch,
            "sample": sample,
            "seed": self.seed,
            "clips": self.clips,
            "data": self.data,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, with its seed; SdiwmError if it belongs to other data."""
        try:
            epoch, sample, seed = (int(state[key]) for key in ("epoch", "sample", "seed"))
            clips, data = int(state["clips"]), state["data"]
        except (KeyError, TypeError, ValueError) as error:
            raise SdiwmError(
                f"the loader's state lacks or spoils {error}; start the run afresh"
            ) from None
        if (clips, data) != (self.clips, self.data):
            raise SdiwmError(
                f"the loader's state belongs to other data or another clip length ({clips} clips, "
                f"here {self.clips}); give the folders and the length that the run began with"
            )
        self.seed = seed
        self.position = epoch * self.clips + sample
        self._permutations.clear()

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        found = self._permutations.get(epoch)
        if found is None:
            words = random_words(self.seed, epoch, 0, self.clips)
            found = np.argsort(words, kind="stable")
            self._permutations = {k: v for k, v in self._permutations.items() if k == epoch - 1}
            self._permutations[epoch] = found
        return found


def random_words(seed: int, epoch: int, purpose: int, count: int) -> NDArray[np.uint64]:
    """``count`` words that depend on all three numbers; ``purpose`` keeps uses apart."""
    counter = np.array([0, 0, purpose, epoch], np.uint64)
    words: NDArray[np.uint64] = np.random.Philox(key=seed, counter=counter).random_raw(count)
    return words
