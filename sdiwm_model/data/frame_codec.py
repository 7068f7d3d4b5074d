"""How the frames of one episode become bytes: raw, or one JPEG a frame.

Raw is the frames' own bytes, T * H * W * 3. JPEG is T + 1 little-endian uint64 offsets, counted
from the end of the table, then the pictures one after another, so that any frame can be decoded
without the others.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError

ENCODINGS = ("raw", "jpeg")
JPEG_QUALITY = 90
OFFSET = np.dtype("<u8")


def encode_jpeg(frames: NDArray[np.uint8]) -> bytes:
    """Return frames (T, H, W, 3) as a table of offsets and T pictures, chroma not subsampled."""
    from PIL import Image

    pictures = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        pictures.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, pictures)]).astype(OFFSET)
    return b"".join([offsets.tobytes(), *pictures])


def decode_jpeg(
    data: bytes | memoryview, steps: int, first: int = 0, stop: int | None = None
) -> NDArray[np.uint8]:
    """Return the frames ``first`` .. ``stop`` - 1 of an episode of ``steps``, (n, H, W, 3).

    Raises:
        SdiwmError: the table or a picture is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    view = memoryview(data)
    table = (steps + 1) * OFFSET.itemsize
    if len(view) < table:
        raise SdiwmError(f"column 'frames' holds no table of {steps} JPEG pictures")
    offsets = [int(offset) for offset in np.frombuffer(view[:table], OFFSET)]
    if offsets[-1] != len(view) - table or offsets != sorted(offsets):
        raise SdiwmError("column 'frames' has a damaged table of JPEG pictures")
    frames = []
    for index in range(*slice(first, stop).indices(steps)):
        picture = view[table + offsets[index] : table + offsets[index + 1]]
        try:
            frames.append(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise SdiwmError(f"frame {index} is no readable JPEG picture ({error})") from None
    return np.stack(frames)
