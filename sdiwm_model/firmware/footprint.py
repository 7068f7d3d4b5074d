"""What the whole firmware of a bundle takes of a board's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdiwm_model.compression.integer_planner import IntegerMppi
from sdiwm_model.compression.quantised_model import Goal
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.memory import FORBIDDEN, largest_frames, memory_of, symbols
from sdiwm_model.firmware.program import Contents, build_firmware
from sdiwm_model.runtime.link import Link
from sdiwm_model.runtime.mcu_observer import send_picture
from sdiwm_model.runtime.messages import Codec

TIMEOUT_S = 60.0


def footprint(board: Board, contents: Contents) -> dict[str, Any]:
    """What the linker says of the firmware, the names it must not hold, and the largest frames."""
    image = build_firmware(contents, board)
    memory = memory_of(image)
    return {
        "sram_bytes": {
            "data": memory.data, "bss": memory.bss, "stack_reserved": memory.stack,
            "stack_peak": None, "total": memory.ram,
        },
        "flash_bytes": memory.flash,
        "heap_or_libstdcxx_symbols": sorted(filter(FORBIDDEN.search, symbols(image))),
        "largest_frames": largest_frames(image),
    }  # fmt: skip


def stack_peak(board: Board, contents: Contents, goal: Goal, planner: IntegerMppi) -> int:
    """Bytes of stack that the firmware used at most for handshake, picture, fusion and plan."""
    codec = Codec(contents.wire_sizes)
    image = build_firmware(contents, board)
    link = Link(lambda: Emulator(board, image), codec, contents.hash_bytes, TIMEOUT_S)
    try:
        link.ask("SetSettings", {"word": np.frombuffer(bytes(planner.integers), "<i4")})
        link.ask("SetGoal", {"word": np.frombuffer(goal.to_bytes(), "<u4")})
        if contents.encoder is not None:
            send_picture(link, 1, np.zeros(contents.encoder.picture_shape, np.uint8))
            link.ask("Encode", {"picture": 1, "first": 1})
            link.ask("FuseSeen", {"picture": 1, "proprio": [0] * codec.sizes.proprio})
        latent = link.ask("Fuse", {"input": [0] * codec.sizes.fusion_input})["latent"]
        mean = [0] * codec.sizes.count("moves")
        link.ask("PlanRequest", {"plan": 0, "cold": 1, "latent": latent, "mean": mean})
        return int(link.read_statistics()["stack_peak"])
    finally:
        link.close()
