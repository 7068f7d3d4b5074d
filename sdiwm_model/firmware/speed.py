"""Instructions and estimated cycles of what a chip does between a picture and an action."""

from __future__ import annotations

from typing import Any

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
from sdiwm_model.firmware.boards import CLOCK_HZ, Board
from sdiwm_model.firmware.cycles import METHOD, Work
from sdiwm_model.firmware.vectors import STEPS, measured_work


def speed(board: Board, model: QuantisedModel, goal: Goal, planner: IntegerMppi) -> dict[str, Any]:
    """Blocks `plan`, `fuse` and `steps` (input layer and GRU alone), MAC/cycle of the last."""
    settings = planner.integers
    work, tile = measured_work(board, model, goal, settings)
    steps = settings.candidates * settings.horizon * settings.iterations
    macs = {
        "plan": steps * model.macs_per_step
        + settings.candidates * settings.iterations * model.macs_of_value
        + (_macs(model, "prior_input", "prior_output") if settings.use_prior else 0),
        "fuse": _macs(model, "fusion_0", "fusion_1", "fusion_2"),
        "steps": STEPS * tile * (model.macs_per_step - _macs(model, "cost_input", "cost_output")),
    }  # fmt: skip
    blocks = {name: work_block(board, work[name], macs[name]) for name in macs}
    per_cycle = blocks["steps"]["mac_per_cycle_est"]
    return blocks | {"mac_per_cycle_est": per_cycle}


def _macs(model: QuantisedModel, *layers: str) -> int:
    return sum(model.layers[name].weight.size for name in layers)


def work_block(board: Board, work: Work, macs: int) -> dict[str, Any]:
    """The figures of some work, for JSON."""
    cycles = work.cycles
    return {
        "instructions": work.instructions,
        "macs": macs,
        "cycles_est": cycles,
        "ms_est_480mhz": None if cycles is None else 1e3 * cycles / CLOCK_HZ,
        "mac_per_cycle_est": None if cycles is None else macs / cycles,
        "method": METHOD.format(processor=board.processor),
    }
