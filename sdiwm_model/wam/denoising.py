"""What one pass of a chunk hands on to the next, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.planning.protocols import Array
from sdiwm_model.wam.dropping import Kept
from sdiwm_model.wam.schedule import Pass
from sdiwm_model.wam.sizes import WamSize
from sdiwm_model.wam.weights import QUICK

Feed = dict[str, NDArray[Any]]


class Denoising:
    """N chunks between noise and data.

    Args:
        action: (N, H, A), overwritten.
        given: how many actions at the start are as they will be.
        video: (N, m, PATCH), overwritten.
        kept: which tokens of the future those are, (m,).
        quick: whether every other pass takes over what the middle layers added in the one before.
    """

    def __init__(
        self, size: WamSize, action: Array, given: int, video: Array, kept: Kept, quick: bool
    ) -> None:
        self.action, self.video = action, video
        self._size, self._given, self._kept, self._quick = size, given, kept, quick
        self._middle: Feed = {}
        nothing = np.zeros((len(action), size.heads, 0, size.head_width), np.float32)
        names = (f"read_{x}_{i}" for x in ("keys", "values") for i in range(size.depth))
        self._read: Feed = dict.fromkeys(names, nothing)

    def ask(self, run: Pass) -> tuple[str, Feed]:
        """The graph of a pass, and what it takes of the chunks."""
        others = self._size.chunk if run.action_time is not None else 0
        feed: Feed = {}
        if run.video_time is not None:
            feed |= {"video": self.video, "kept": self._kept}
            others += self.video.shape[1]
        else:
            feed |= self._read
            others += self._read["read_keys_0"].shape[2]
        if run.action_time is not None:
            feed["action"] = self.action
        feed["others"] = np.zeros((self._size.depth, self._size.heads, 1, others), np.float32)
        experts = {x for x in ("video", "action") if x in feed}
        name = "joint" if len(experts) == 2 else next(iter(experts))
        if self._quick and experts.issubset(self._middle):
            return name + QUICK, feed | {f"{x}_middle": self._middle[x] for x in experts}
        return name, feed

    def wanted(self, name: str, plan: Sequence[Pass]) -> list[str]:
        """Outputs of graph ``name`` that the first pass of ``plan`` or a later one asks for."""
        run, *later = plan
        names = ["clean_action"] if run.action_time is not None else []
        if run.video_time is not None and any(each.video_time is None for each in later):
            names += self._read_outputs(name)
        if run.video_step:
            names += ["video_tokens", "video_answer"]
        if self._quick and later and not name.endswith(QUICK):
            times = {"video": run.video_time, "action": run.action_time}
            names += [f"{expert}_middle" for expert, t in times.items() if t is not None]
        return names

    def take(self, run: Pass, found: Feed) -> None:
        """Go on by what a pass found."""
        if run.video_step:
            self.video += np.float32(run.video_step) * found["video_velocity"]
        if run.action_step:
            free = self.action[:, self._given :]
            free += np.float32(run.action_share) * (found["clean_action"][:, self._given :] - free)
        self._read |= {name: x for name, x in found.items() if name in self._read}
        middles = {name: found.get(f"{name}_middle") for name in ("video", "action")}
        self._middle = {name: x for name, x in middles.items() if x is not None}

    def _read_outputs(self, name: str) -> list[str]:
        last = self._size.depth - 1
        layers = sorted({0, last}) if name.endswith(QUICK) else range(last + 1)
        return [f"read_{x}_{i}" for i in layers for x in ("keys", "values")]


def unread(plan: Sequence[Pass]) -> Iterator[Pass]:
    """The passes, but that a future is not followed to where nobody reads it any more."""
    for i, run in enumerate(plan):
        read = any(later.video_time is not None for later in plan[i + 1 :])
        yield run if read else replace(run, video_step=0.0)


def reading_again(plan: Sequence[Pass]) -> Iterator[Pass]:
    """The passes, but that a future once read is read again in every one that follows."""
    last: float | None = None
    for run in plan:
        last = last if run.video_time is None else run.video_time
        yield replace(run, video_time=last)
