"""Faults of the microcontroller and of the line to it, on a graph in which the chip plans."""

from __future__ import annotations

from functools import partial

from sdiwm_ros.configuration import read_defaults
from sdiwm_ros.faults.bed import Bed
from sdiwm_ros.faults.cases import Case, Check, Fault, counts, says
from sdiwm_ros.faults.link import LineFault
from sdiwm_ros.faults.measure import Answer


def link_cut(bed: Bed) -> Case:
    """Nothing gets through, or the port is gone."""
    if bed.random.integers(2):
        return on_the_line(bed, LineFault.CUT, chip_lost)
    return Case(mcu_timeout(), bed.chip.unplug, bed.chip.plug, chip_lost)


def link_garbled(bed: Bed) -> Case:
    """Of the bytes of each way, 0.1 to 5 % come out wrong."""
    bed.chip.garbled = 10 ** bed.random.uniform(-3.0, -1.3)
    counted = [counts(key, "mcu_bridge")(bed) for key in ("link_damaged", "link_repeated")]

    def detected(bed: Bed, since: float) -> bool:
        return chip_lost(bed, since) or any(count(bed, since) for count in counted)

    return on_the_line(bed, LineFault.GARBLED, detected)


def link_delayed(bed: Bed) -> Case:
    """Everything comes 0.4 s late each way."""
    return on_the_line(bed, LineFault.DELAYED, chip_lost)


def chip_reset(bed: Bed) -> Case:
    """The chip restarts, and has forgotten handshake, goal and settings: it refuses to plan."""
    counted = [counts(key, "mcu_bridge")(bed) for key in ("link_refused", "link_reconnected")]

    def detected(bed: Bed, since: float) -> bool:
        return chip_lost(bed, since) or any(count(bed, since) for count in counted)

    return Case(mcu_timeout(), bed.chip.reset, lambda: None, detected)


def on_the_line(bed: Bed, fault: LineFault, detected: Check) -> Case:
    """A fault of the line for as long as it lasts."""

    def set_to(chosen: LineFault) -> None:
        bed.chip.fault = chosen

    clear = partial(set_to, LineFault.NONE)
    return Case(mcu_timeout(), partial(set_to, fault), clear, detected)


chip_lost = says("microcontroller", "planner", "mcu_bridge")
"""The planner says that the chip does not plan, or the bridge why."""


def mcu_timeout() -> float:
    """Seconds of the chip's silence after which this host takes over."""
    return float(read_defaults("planner")["mcu_timeout"])


CHIP = "the chip plans again"
RECOVERY = 20.0  # s: a handshake is tried once a second, then the chip must be well for a while
CHIP_FAULTS = (
    Fault("mcu_link_cut", Answer.SURVIVE, link_cut, RECOVERY, CHIP),
    Fault("mcu_link_garbled", Answer.SURVIVE, link_garbled, RECOVERY, CHIP),
    Fault("mcu_link_delayed", Answer.SURVIVE, link_delayed, RECOVERY, CHIP),
    Fault("mcu_reset", Answer.SURVIVE, chip_reset, RECOVERY, CHIP),
)
"""On a graph in which a microcontroller plans and this host takes over."""

LONE_CHIP_FAULTS = (Fault("mcu_link_cut_no_host", Answer.STOP, link_cut, RECOVERY, CHIP),)
"""The same, configured so that nobody takes over."""
