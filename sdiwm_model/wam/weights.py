"""Where the ONNX graphs of a world-action model find their weights: in files that all share.

float, fp16   wam.safetensors
int8          wam.int8.safetensors what is rounded, wam.safetensors the rest
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import read_json_object
from sdiwm_model.runtime.session import open_session
from sdiwm_model.wam.checkpoint import REMEDY, WEIGHTS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Tensors = dict[str, NDArray[Any]]
GRAPHS = "graphs.json"  # opset, and for each precision the tensors that each graph names
FLOAT, FP16, INT8 = "float", "fp16", "int8"
INT8_WEIGHTS = "wam.int8.safetensors"
QUICK = "_quick"  # of a graph that takes over what the middle layers add
MAKE = "make them with 'sdiwm export wam'"


def graph_file(graph: str, precision: str) -> str:
    """File of a graph in the folder of a world-action model."""
    return f"{graph}.onnx" if precision == FLOAT else f"{graph}.{precision}.onnx"


def read_tensors(folder: Path, precision: str) -> Tensors:
    """All tensors that graphs of ``precision`` may name, in its type.

    Raises:
        SdiwmError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    found: Tensors = {}
    for name in (WEIGHTS, INT8_WEIGHTS) if precision == INT8 else (WEIGHTS,):
        try:
            tensors = load_file(folder / name)
        except FileNotFoundError:
            raise SdiwmError(f"{folder / name} is missing; {REMEDY}") from None
        except SafetensorError as error:
            raise SdiwmError(f"{folder / name} is damaged ({error}); {REMEDY}") from None
        if name == WEIGHTS:
            kind = np.float16 if precision == FP16 else np.float32
            tensors = {key: np.ascontiguousarray(x, kind) for key, x in tensors.items()}
        found |= tensors
    return found


class GraphFolder:
    """Opens graphs of one precision; keeps the tensors that they share.

    Raises:
        SdiwmError: there are no graphs, or none of this precision.
    """

    def __init__(self, folder: Path, precision: str) -> None:
        self._folder = folder
        if not (folder / GRAPHS).is_file():
            raise SdiwmError(f"{folder} holds no ONNX graphs: {MAKE}")
        named = read_json_object(folder / GRAPHS, REMEDY)
        if precision not in named:
            raise SdiwmError(f"{folder} holds no graphs of precision '{precision}': {MAKE}")
        self._named: dict[str, tuple[str, list[str]]] = {  # what is not rounded is a float
            name: (graph_file(name, kind), tensors)
            for kind in (FLOAT, precision)
            for name, tensors in named[kind].items()
        }
        self._tensors = read_tensors(folder, precision)

    def tensor(self, name: str) -> NDArray[Any]:
        """A tensor of the model."""
        if name not in self._tensors:
            raise SdiwmError(f"{self._folder / WEIGHTS} lacks {name}; {REMEDY}")
        return self._tensors[name]

    def open(self, graph: str) -> InferenceSession:
        """A graph, ready to run on one thread."""
        if graph not in self._named:
            raise SdiwmError(f"{self._folder} holds no graph '{graph}': {MAKE}")
        file, names = self._named[graph]
        try:
            weights = {name: self._tensors[name] for name in names}
        except KeyError as error:
            raise SdiwmError(
                f"{self._folder / file} names {error}, which is not there; {REMEDY}"
            ) from None
        return open_session(self._folder / file, weights=weights)
