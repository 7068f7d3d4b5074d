"""How a node gets the model that its parameters name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from sdiwm_model.runtime.protocols import Runtime

RuntimeLoader = Callable[[dict[str, Any]], Runtime]


def load_named_runtime(parameters: dict[str, Any]) -> Runtime:
    """Load the bundle of `model`, or the one shipped for `task`, on `backend`.

    Raises:
        SdiwmError: unknown task or back end; missing, damaged or foreign bundle.
    """
    from sdiwm_model.runtime.load import load_runtime

    folder = parameters["model"] or Path(str(files("sdiwm_model"))) / "weights" / parameters["task"]
    return load_runtime(Path(folder), parameters["backend"])
