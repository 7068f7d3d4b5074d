"""The nodes' defaults, as config/control.yaml says them. ROS-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sdiwm_model.errors import SdiwmError
from sdiwm_model.share import share_file

NODES = ("simulator", "observer", "language_goal", "planner", "guard")
OPTIONAL_NODES = ("recorder", "mcu_bridge")
EVERY_NODE = "/**"  # ROS 2's own word for it in parameter files


def read_defaults(node: str) -> dict[str, Any]:
    """The parameters of one node in config/control.yaml.

    Raises:
        SdiwmError: the file is damaged or has no such node.
    """
    path = share_file("config/control.yaml")
    values = read_parameters(path, node)
    if not values:
        raise SdiwmError(f"{path}: no parameters for node '{node}'; restore the file.")
    return values


def read_parameters(path: Path, node: str) -> dict[str, Any]:
    """What a parameter file says of one node, on top of what it says of every node.

    Raises:
        SdiwmError: the file is missing or no ROS 2 parameter file.
    """
    try:
        content = yaml.safe_load(path.read_text()) or {}
        blocks = [content[key]["ros__parameters"] for key in (EVERY_NODE, node) if key in content]
        return {name: value for block in blocks for name, value in block.items()}
    except OSError as error:
        raise SdiwmError(f"{path}: cannot be read ({error.strerror}); name another file.") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SdiwmError(
            f"{path}: no ROS 2 parameter file, `node: ros__parameters: name: value` ({error})."
        ) from None
