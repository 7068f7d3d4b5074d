"""Figures that took long, kept beside each other: what was stopped goes on with the same call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdiwm_model.files import read_json_object, write_json


class Kept:
    """A folder of JSON files, each named after what it holds and a hash of all it depends on.

    Args:
        folder: None to keep nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def __call__(
        self, name: str, about: Mapping[str, Any], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What ``make`` returns, from the folder where it was made for the same ``about``."""
        if self.folder is None:
            return make()
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        path = self.folder / f"{name}-{digest}.json"
        if not path.is_file():
            write_json(path, {"about": dict(about), "found": make()})
        found: dict[str, Any] = read_json_object(path, "remove it to measure again")["found"]
        return found
