"""The nodes' defaults, as config/control.yaml says them. ROS-free."""

from __future__ import annotations

from typing import Any

import yaml

from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file

NODES = ("simulator", "observer", "language_goal", "planner")


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
