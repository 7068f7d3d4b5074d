"""Where the installed package keeps its configuration and launch files. ROS-free."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

import sdiwm_ros
from sdiwm_model.errors import SdiwmError

NODES = ("simulator", "observer", "language_goal", "planner")


def share_file(relative: str) -> Path:
    """A file of the package's share folder, e.g. `config/control.yaml`.

    Looked for in a source checkout, then in `share/sdiwm_ros` of the prefix that this package is
    installed in (`<prefix>/lib/python3.x/site-packages`), then of the interpreter's.

    Raises:
        SdiwmError: it is in neither place.
    """
    package = Path(sdiwm_ros.__file__).resolve().parent
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


def read_defaults(node: str) -> dict[str, Any]:
    """The parameters of one node in config/control.yaml.

    Raises:
        SdiwmError: the file is damaged or has no such node.
    """
    path = share_file("config/control.yaml")
    try:
        return dict(yaml.safe_load(path.read_text())[node]["ros__parameters"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SdiwmError(
            f"{path}: no readable parameters for node '{node}' ({error}); restore the file."
        ) from None
