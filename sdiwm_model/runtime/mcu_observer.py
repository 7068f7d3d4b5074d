"""From pictures and joints to latents on a microcontroller: the picture goes there in chunks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.compression.fixed_point import latent_from_q15
from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.export.encoder import proprio_inputs
from sdiwm_model.planning.protocols import Array
from sdiwm_model.runtime.checks import as_floats, check_image
from sdiwm_model.runtime.link import WAKING, Link, RefusedError
from sdiwm_model.runtime.messages import IMAGE_CHUNK

FORGOTTEN = WAKING | {"kChunkOrder", "kPartialPicture", "kNoPicture"}  # cured by the picture anew
NUMBERS = count(1)  # of pictures; never used twice


class McuObserver:
    """See runtime.protocols.Observer. Pictures, features and their history lie on the chip.

    A chip that was restarted, or that another observer showed pictures in between, is shown the
    newest picture again; that then stands in for those before it.

    Args:
        link: to firmware with an encoder.
        model: its integers.
        manifest: of the same bundle.
        seconds: what the chip's ticks are worth.
    """

    def __init__(
        self,
        link: Link,
        model: QuantisedModel,
        manifest: Manifest,
        seconds: Callable[[int], float],
    ) -> None:
        self._link, self._model, self._sizes = link, model, manifest.sizes
        self._seconds = seconds
        self._picture: NDArray[np.uint8] | None = None
        self._number = 0

    def see(self, image: NDArray[np.uint8]) -> float:
        """See `Observer`; the time is the chip's own, without the link's."""
        check_image(image, self._sizes.image_size, self._sizes.cameras)
        first = self._picture is None
        self._picture = np.array(image)
        try:
            return self._show(first)
        except RefusedError as refusal:
            return self._show_again(refusal)

    def latent(self, proprio: Array) -> Array:
        """See `Observer`."""
        assert self._picture is not None, "see a picture first"
        proprio = as_floats("proprio", proprio, (self._sizes.proprio,))
        felt = proprio_inputs(self._model, proprio)
        try:
            answer = self._link.ask("FuseSeen", {"picture": self._number, "proprio": felt})
        except RefusedError as refusal:
            self._show_again(refusal)
            answer = self._link.ask("FuseSeen", {"picture": self._number, "proprio": felt})
        return latent_from_q15(np.array(answer["latent"], np.int16))

    def _show_again(self, refusal: RefusedError) -> float:
        if refusal.reason not in FORGOTTEN:
            raise refusal
        if refusal.reason in WAKING:
            self._link.greet()
        return self._show(first=True)

    def _show(self, first: bool) -> float:
        """Send the picture under a new number and have it encoded; seconds that this took."""
        assert self._picture is not None
        self._number = next(NUMBERS) & 0xFFFFFFFF
        send_picture(self._link, self._number, self._picture)
        answer = self._link.ask("Encode", {"picture": self._number, "first": int(first)})
        return self._seconds(answer["ticks"])


def send_picture(link: Link, number: int, picture: NDArray[np.uint8]) -> None:
    """Every chunk of a picture; one that came although its answer was lost counts as sent.

    Raises:
        RefusedError: the chip lost its place in the picture.
    """
    raw = picture.tobytes()
    for offset in range(0, len(raw), IMAGE_CHUNK):
        chunk = raw[offset : offset + IMAGE_CHUNK]
        values = {"picture": number, "offset": offset, "bytes": chunk.ljust(IMAGE_CHUNK, b"\0")}
        try:
            link.ask("ImageChunk", values)
        except RefusedError as refusal:
            arrived = min(offset + IMAGE_CHUNK, len(raw))
            if refusal.reason != "kChunkOrder" or refusal.detail != arrived:
                raise
