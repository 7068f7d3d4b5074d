"""From a sentence to the conditioning c, for every back end; refuses what names no goal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import InstructionError, SdiwmError
from sdiwm_model.planning.protocols import Array
from sdiwm_model.text_encoder import TextEncoder

if TYPE_CHECKING:
    from sdiwm_model.checkpoint import Manifest

Fuse = Callable[[NDArray[np.float32], NDArray[np.bool_]], tuple[Array, Array]]
"""tokens (1, L, width), mask (1, L) -> c (1, C), grounding logits (1, goals + 1)."""


def takes_words(manifest: Manifest) -> SdiwmError:
    """The refusal of a goal's picture by a model that is told its goal in words."""
    return SdiwmError(
        f"The model of task '{manifest.task}' is told its goal in words, not by a picture: call "
        "`condition` with a sentence."
    )


class Conditioner:
    """Text encoder and language module; the encoder is loaded with the first sentence."""

    def __init__(
        self, manifest: Manifest, fuse: Fuse, text_encoder: str | Path | None = None
    ) -> None:
        self._manifest = manifest
        self._fuse = fuse
        self._path = text_encoder
        self._encoder: TextEncoder | None = None

    def condition(self, instruction: str) -> Array:
        """A sentence -> c (C,) float32.

        Raises InstructionError where it is empty or names none of the goals, and SdiwmError
        where the text encoder is missing or is not the one that the model was trained with, or
        where the model is told its goal by a picture.
        """
        if self._manifest.sizes.goal_image:
            raise SdiwmError(
                f"The model of task '{self._manifest.task}' is told its goal by a picture, not in "
                "words: call `condition_image` with one."
            )
        if not isinstance(instruction, str) or not instruction.strip():
            raise InstructionError(f"The instruction is empty: {self._advice()}")
        tokens, mask = self._load().encode([instruction])
        c, logits = self._fuse(tokens, mask)
        if int(np.argmax(logits[0])) == len(self._manifest.goals):
            shown = instruction.strip()[:80]
            raise InstructionError(f'"{shown}" names no goal that I know: {self._advice()}')
        return np.array(c[0], np.float32)

    def _advice(self) -> str:
        *others, last = self._manifest.goals
        return "ask for " + (f"{', '.join(others)} or {last}." if others else f"{last}.")

    def _load(self) -> TextEncoder:
        if self._encoder is None:
            encoder = TextEncoder(self._path)
            trained = self._manifest.text_encoder.get("hash")
            if trained != encoder.hash:
                raise SdiwmError(
                    f"{encoder.folder} is not the text encoder of this model (hash "
                    f"{encoder.hash}, model.json says {trained}): name the right one with "
                    "--text-encoder PATH, or train the model with this one."
                )
            self._encoder = encoder
        return self._encoder
