"""Where the bundles that come with this package lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def bundle_folder(model: str | Path | None, task: str) -> Path:
    """The folder `model`, or where that is empty the bundle shipped for `task`."""
    return Path(model) if model else Path(str(files("sdiwm_model"))) / "weights" / task
