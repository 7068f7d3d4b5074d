"""Where the imagined future starts from."""

from __future__ import annotations

import numpy as np

from sdiwm_model.planning.protocols import Array
from sdiwm_model.wam.sizes import PATCH, WamSize

SEED = 0


def video_noise(size: WamSize) -> Array:
    """One fixed draw (video_tokens, PATCH) for every chunk.

    Successive chunks then imagine the same one of the possible futures while nothing new is seen,
    and every engine starts from the same numbers. What chance there is lies in the actions' noise.
    """
    rng = np.random.default_rng(SEED)
    return rng.standard_normal((size.video_tokens, PATCH), dtype=np.float32)
