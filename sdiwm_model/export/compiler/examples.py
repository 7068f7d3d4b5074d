"""Examples of a network's inputs, from a file of arrays or a folder of episodes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.graph import Graph

FRAMES = 128  # taken from a folder of episodes, evenly


def load_examples(path: Path, graph: Graph) -> dict[str, NDArray[Any]]:
    """Input name -> (N, ...) from an .npz file, or the frames of a folder that `collect` wrote.

    Raises:
        SdiwmError: neither of the two, or a folder for a network with other inputs than a picture.
    """
    if path.is_dir():
        return _frames(path, graph)
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SdiwmError(
            f"{path} cannot be read as examples ({error}): name an .npz file with an array "
            "(N, ...) for every input, a folder of episodes, or a .json file of ranges"
        ) from None


def _frames(path: Path, graph: Graph) -> dict[str, NDArray[Any]]:
    from sdiwm_model.data.shards import ShardReader

    pictures = [entry.name for entry in graph.inputs if entry.is_bytes]
    if len(pictures) != 1 or len(graph.inputs) != 1:
        names = ", ".join(entry.name for entry in graph.inputs)
        raise SdiwmError(
            f"{path} holds episodes, but the network takes {names}: give examples of all of them "
            "as an .npz file"
        )
    reader = ShardReader(path)
    chosen = np.linspace(0, len(reader) - 1, min(len(reader), FRAMES)).astype(int)
    frames = []
    for position, index in enumerate(chosen):
        episode = reader.read(int(index)).frames
        frames.append(episode[position * 7919 % len(episode)])
    return {pictures[0]: np.stack(frames)}
