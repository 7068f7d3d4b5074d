"""Every fault of `sdiwm bench faults`, by the graph that it is injected into."""

from __future__ import annotations

from sdiwm_ros.faults.cases import Fault
from sdiwm_ros.faults.chip_faults import CHIP_FAULTS, LONE_CHIP_FAULTS
from sdiwm_ros.faults.graph_faults import CLOCK_FAULTS, GRAPH_FAULTS

BEDS: dict[str, tuple[dict[str, bool], tuple[Fault, ...]]] = {
    "graph": ({}, GRAPH_FAULTS),
    "chip": ({"chip": True}, CHIP_FAULTS),
    "lone_chip": ({"chip": True, "stand_in": False}, LONE_CHIP_FAULTS),
    "clock": ({"simulated": True}, CLOCK_FAULTS),
}
"""By name: the settings of the graph that faults are injected into, and those faults."""
