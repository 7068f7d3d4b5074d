"""A share of a data set's episodes, for asking how much data something needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdiwm_model.data.shards import MANIFEST, ShardReader, ShardWriter
from sdiwm_model.errors import SdiwmError


def write_share(folders: Sequence[Path], share: float, seed: int, out: Path) -> int:
    """Write a random ``share`` of the episodes into ``out``, unless they lie there; their number.

    A smaller share of the same seed is part of a larger one.

    Raises:
        SdiwmError: the share is not above 0 and at most 1, or is less than two episodes.
    """
    reader = ShardReader(list(folders))
    count = round(share * len(reader))
    if not 0 < share <= 1 or count < 2:
        raise SdiwmError(
            f"a share of {share:g} of {len(reader)} episodes is {count}: use more data, or a "
            "share up to 1 that leaves at least two"
        )
    if not (out / MANIFEST).exists():
        chosen = np.random.default_rng(seed).permutation(len(reader))[:count]
        about = {
            "share": share,
            "seed": seed,
            "of": [manifest["provenance"] for manifest in reader.manifests],
        }
        with ShardWriter(out, reader.spec, about) as writer:
            for index in np.sort(chosen):
                writer.write(reader.read(int(index)))
    return count
