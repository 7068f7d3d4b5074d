"""Where the installed package keeps its configuration and launch files."""

from __future__ import annotations

import sys
from pathlib import Path

import sdiwm_model
from sdiwm_model.errors import SdiwmError


def share_file(relative: str) -> Path:
    """A file of the package's share folder, e.g. `config/control.yaml`.

    Looked for in a source checkout, then in `share/sdiwm_ros` of the prefix that this package is
    installed in (`<prefix>/lib/python3.x/site-packages`), then of the interpreter's.

    Raises:
        SdiwmError: it is in neither place.
    """
    package = Path(sdiwm_model.__file__).resolve().parent
    prefixes = [*package.parents[3:4], Path(sys.prefix)]
    candidates = [package.parent / relative]
    candidates += [prefix / "share" / "sdiwm_ros" / relative for prefix in prefixes]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise SdiwmError(
        f"{relative} is not installed (looked for {candidates[0]} and {candidates[1]});"
        " reinstall with `pip install .` or `colcon build`."
    )
