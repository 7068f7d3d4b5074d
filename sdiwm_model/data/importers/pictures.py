"""Pictures brought to one size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fitted(picture: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A picture (H, W, 3) scaled to cover `size` (height, width), the centre cut out; None: as is.

    Scaling down averages over what falls together, so nothing flickers.
    """
    if size is None or picture.shape[:2] == size:
        return picture
    from PIL import Image, ImageOps

    scaled = ImageOps.fit(Image.fromarray(picture), size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(scaled)
