"""Instructions and estimated cycles of what a chip does between a picture and an action.

What the link takes is left out: bytes of the picture that come, frames and checksums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
from sdiwm_model.export.encoder import Encoder
from sdiwm_model.firmware import network
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


def encoder_speed(board: Board, encoder: Encoder, seed: int) -> dict[str, Any]:
    """The block of one random picture through the vision network."""
    picture = np.random.default_rng(seed).integers(0, 256, encoder.picture_shape)
    work = network.work(encoder.layout, board, {encoder.program.inputs[0]: picture})
    return work_block(board, work, encoder.macs)


def frame_to_action(blocks: dict[str, Any]) -> dict[str, Any]:
    """The sum of the blocks `encode`, `fuse` and `plan`."""
    parts = [blocks[name] for name in ("encode", "fuse", "plan")]
    estimated = [part["cycles_est"] for part in parts]
    cycles = None if None in estimated else sum(estimated)
    instructions, macs = (sum(part[key] for part in parts) for key in ("instructions", "macs"))
    return _figures(instructions, macs, cycles, f"encode + fuse + plan; {parts[0]['method']}")


def _macs(model: QuantisedModel, *layers: str) -> int:
    return sum(model.layers[name].weight.size for name in layers)


def work_block(board: Board, work: Work, macs: int) -> dict[str, Any]:
    """The figures of some work, for JSON."""
    method = METHOD.format(processor=board.processor)
    return _figures(work.instructions, macs, work.cycles, method)


def _figures(instructions: int, macs: int, cycles: float | None, method: str) -> dict[str, Any]:
    return {
        "instructions": instructions,
        "macs": macs,
        "cycles_est": cycles,
        "ms_est_480mhz": None if cycles is None else 1e3 * cycles / CLOCK_HZ,
        "mac_per_cycle_est": None if cycles is None else macs / cycles,
        "method": method,
    }
