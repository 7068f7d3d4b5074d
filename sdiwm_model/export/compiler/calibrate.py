"""Ranges of every value, measured on examples of the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler.float_reference import evaluate
from sdiwm_model.export.compiler.graph import Graph, Pool, Slice, SpatialSoftmax
from sdiwm_model.files import read_json_object, write_json

REMEDY = "write it with `sdiwm export cpp --ranges-out`"
NEGLIGIBLE = 10.5  # logits this far below the largest weigh less than the last bit of a weight


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest number of every value.

    values   value -> (low, high)
    maps     input of a spatial softmax -> for each channel the (low, high) that matter
    """

    values: dict[str, tuple[float, float]]
    maps: dict[str, list[tuple[float, float]]]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, {"values": self.values, "maps": self.maps})

    @staticmethod
    def load(path: Path) -> Ranges:
        """Read what `save` wrote; SdiwmError where it is damaged."""
        content = read_json_object(path, REMEDY)
        try:
            return Ranges(
                {name: (float(a), float(b)) for name, (a, b) in content["values"].items()},
                {
                    name: [(float(a), float(b)) for a, b in rows]
                    for name, rows in content["maps"].items()
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SdiwmError(f"{path} holds no ranges ({error!r}); {REMEDY}") from None


def calibrate(graph: Graph, examples: Mapping[str, NDArray[Any]]) -> Ranges:
    """Run the float graph on every example; `examples`: input name -> (N, ...).

    Raises:
        SdiwmError: an input is missing, of another size, or not finite.
    """
    count = _check(graph, examples)
    softmax = [node.input for node in graph.nodes if isinstance(node, SpatialSoftmax)]
    values: dict[str, tuple[float, float]] = {}
    peaks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in softmax}
    for index in range(count):
        seen = evaluate(graph, {e.name: examples[e.name][index] for e in graph.inputs})
        for name, x in seen.items():
            low, high = values.get(name, (np.inf, -np.inf))
            values[name] = (min(low, float(x.min())), max(high, float(x.max())))
        for name in softmax:
            peaks[name].append(seen[name].max(axis=(0, 1)))
    maps = {
        name: [
            (float(low) - NEGLIGIBLE, float(high))
            for low, high in zip(np.min(rows, axis=0), np.max(rows, axis=0), strict=True)
        ]
        for name, rows in peaks.items()
    }
    return Ranges(values | graph.ranges, maps)


def given_ranges(graph: Graph) -> Ranges:
    """The ranges of a quantised file; SdiwmError where it says nothing of a value."""
    needed = [entry.name for entry in graph.inputs if not entry.is_bytes]
    needed += [n.output for n in graph.nodes if not isinstance(n, Pool | Slice | SpatialSoftmax)]
    for name in needed:
        if name not in graph.ranges:
            raise SdiwmError(
                f"'{graph.name}' says nothing of the range of '{name}': give --calibration examples"
            )
    softmax = [node.input for node in graph.nodes if isinstance(node, SpatialSoftmax)]
    maps = {name: [graph.ranges[name]] * graph.shapes[name][2] for name in softmax}
    return Ranges(dict(graph.ranges), maps)


def _check(graph: Graph, examples: Mapping[str, NDArray[Any]]) -> int:
    counts = set()
    for entry in graph.inputs:
        size = int(np.prod(graph.shapes[entry.name]))
        x = examples.get(entry.name)
        if x is None:
            raise SdiwmError(
                f"the calibration examples hold no '{entry.name}', an input of the network: "
                f"add it, (N, {size}) numbers"
            )
        if not len(x) or int(np.prod(x.shape[1:])) != size:
            raise SdiwmError(
                f"the calibration examples '{entry.name}' have the shape {x.shape}: the network "
                f"takes {size} numbers an example"
            )
        if not np.isfinite(x).all():
            raise SdiwmError(f"the calibration examples '{entry.name}' hold NaN or infinity")
        counts.add(len(x))
    if len(counts) != 1:
        raise SdiwmError("the calibration examples differ in number from input to input")
    return counts.pop()
