"""Writes doc/reference/parameters.md, when run as `python -m sdiwm_ros.reference`.

The tables come from the same declarations that the nodes make, so that they cannot say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from sdiwm_ros.configuration import NODES, OPTIONAL_NODES, read_defaults
from sdiwm_ros.parameters import COMMON, PARAMETERS, Specification

HEAD = """# Parameters

Written by `python -m sdiwm_ros.reference` from the nodes' own declarations; a test compares.
Defaults are those of [config/control.yaml](../../config/control.yaml), which explains them once
more and is the place to change them. A running node says the same: `ros2 param describe /planner`.

A value of the wrong type or out of its range is refused in one sentence, at start-up and by
`ros2 param set`. "Live" parameters may be set at any time and act at once; all others while the
node is unconfigured (`ros2 lifecycle set /planner deactivate`, `cleanup`, then `ros2 param set`,
`configure`, `activate`), since a loop whose deadlines or model change under it could not state what
it did."""
COLUMNS = ("parameter", "default", "allowed", "live", "what it is")


def parameters_page() -> str:
    """The whole page."""
    parts = [HEAD, "## Every node", "`/**` in the parameter file.", _table("simulator", COMMON)]
    parts[2] += " Beside them stands ROS 2's own `use_sim_time`."
    for node in (*NODES, *OPTIONAL_NODES):
        parts += [f"## {node}", _table(node, PARAMETERS[node])]
    return "\n\n".join(parts) + "\n"


def _table(node: str, specifications: dict[str, Specification]) -> str:
    defaults = read_defaults(node)
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for name, specification in specifications.items():
        value = defaults[name]
        default = f'"{value}"' if isinstance(value, str) else str(value).lower()
        live = "yes" if specification.live else ""
        rows.append((f"`{name}`", f"`{default}`", specification.allowed, live,
                     specification.description))  # fmt: skip
    return "\n".join(_line(row) for row in rows)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(parameters_page(), end="")
