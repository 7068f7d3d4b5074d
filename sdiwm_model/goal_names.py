"""Which goal a sentence names in plain words, for judging an episode, not for controlling it."""

from __future__ import annotations

import re


def named_goal(sentence: str, goals: tuple[str, ...]) -> int | None:
    """The one goal whose name is a word of the sentence; None for none or several."""
    words = set(re.findall(r"[a-z]+", sentence.lower()))
    found = [index for index, goal in enumerate(goals) if goal in words]
    return found[0] if len(found) == 1 else None
