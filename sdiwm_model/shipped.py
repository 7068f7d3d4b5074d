"""Where the bundles that come with this package lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sdiwm_model.errors import SdiwmError


def bundle_folder(model: str | Path | None, task: str) -> Path:
    """The folder `model`, or where that is empty the bundle shipped for `task`.

    Raises:
        SdiwmError: no model is shipped for `task`.
    """
    if model:
        return Path(model)
    weights = Path(str(files("sdiwm_model"))) / "weights"
    if not (weights / task).is_dir():
        shipped = ", ".join(sorted(path.name for path in weights.glob("[!_.]*/"))) or "none"
        raise SdiwmError(
            f"no model is shipped for the task '{task}' (there is: {shipped}); name a bundle with "
            "--model, or make one with 'sdiwm train' and 'sdiwm export'"
        )
    return weights / task
