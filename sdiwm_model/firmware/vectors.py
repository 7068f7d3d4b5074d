"""The planner's parts on a chip against the integer reference, on random integers.

Chip (mcu_firmware/tests/vectors.cpp) and reference draw the same integers from the same
counter-based generator; only checksums travel over the UART.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.compression.fixed_point import Integers
from sdiwm_model.compression.integer_planner import IntegerMppi, PlannerIntegers, philox
from sdiwm_model.compression.integer_reference import IntegerModel
from sdiwm_model.compression.quantised_model import Goal, QuantisedModel
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.cycles import Work, measure
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.image import build_image
from sdiwm_model.planning.protocols import fit_horizon
from sdiwm_model.runtime.build import sources

PARTS = ("rollout", "heads", "fuse", "prior", "plan", "steps")
STEPS = 8  # that are measured together
MAX_CANDIDATES = 64
MAX_HORIZON = 16
TIMEOUT_S = 300.0
_EDGES = np.array(
    [-32767, -32640, -32639, -257, -129, -128, -1, 0, 1, 127, 128, 255, 256, 32639, 32640, 32767]
)


def vector_image(board: Board, model: QuantisedModel) -> Path:
    """The test program for a model, even one that is too large for the chip."""
    generated = generate(model, MAX_CANDIDATES, MAX_HORIZON)
    program = sources() / "tests" / "vectors.cpp"
    return build_image(board, [program], generated, within_budget=False)


def measured_work(
    board: Board, model: QuantisedModel, goal: Goal, settings: PlannerIntegers
) -> tuple[dict[str, Work], int]:
    """Work of a plan, of a fusion and of `STEPS` model steps of a tile, and the tile's candidates.

    Plan and fusion count the drawing of their inputs on the chip, and a checksum.
    """
    image = vector_image(board, model)
    head = bytes(settings) + goal.to_bytes()
    tile = 0

    def work(part: str, count: int) -> Work:
        def run(chip: Emulator, times: int) -> None:
            nonlocal tile
            request = np.array([PARTS.index(part), 0, count * times, 1], "<u4")
            chip.write(request.tobytes() + head)
            tile = int(np.frombuffer(chip.read(16, TIMEOUT_S), "<u4")[3])

        return measure(board, image, run)

    return {"plan": work("plan", 1), "fuse": work("fuse", 1), "steps": work("steps", STEPS)}, tile


@dataclass(frozen=True)
class Reply:
    """What the chip answers; ticks of the board's timer, and how many candidates a tile has."""

    checksum: int
    ticks: int
    stack_peak: int
    tile: int


class VectorChip:
    """The test program on an emulated board; `close` or the end of a `with` stops it."""

    def __init__(self, board: Board, model: QuantisedModel) -> None:
        self.model = model
        self.chip = Emulator(board, vector_image(board, model))
        self._none = PlannerIntegers()

    def run(
        self,
        part: str,
        goal: Goal,
        seed: int,
        count: int,
        horizon: int = 1,
        settings: PlannerIntegers | None = None,
    ) -> Reply:
        """Compute `count` vectors of a part; SdiwmError where the chip does not answer."""
        header = np.array([PARTS.index(part), seed, count, horizon], "<u4").tobytes()
        self.chip.write(header + bytes(settings or self._none) + goal.to_bytes())
        answer = self.chip.read(16, TIMEOUT_S)
        if len(answer) < 16:
            raise SdiwmError(f"The emulated {self.chip.board.name} did not answer '{part}'.")
        return Reply(*(int(word) for word in np.frombuffer(answer, "<u4")))

    def close(self) -> None:
        """Stop the emulator."""
        self.chip.close()

    def __enter__(self) -> VectorChip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def expected(
    model: QuantisedModel,
    part: str,
    goal: Goal,
    seed: int,
    count: int,
    horizon: int = 1,
    planner: IntegerMppi | None = None,
) -> int:
    """The checksum that `VectorChip.run` must return, by the integer reference.

    `planner` is taken for 'plan': its settings are those sent, and its plan number advances.
    """
    reference = IntegerModel(model)
    if part == "fuse":
        x = _latents(seed, count * (model.features + model.proprio)).reshape(count, -1)
        return zlib.crc32(_little(reference.fuse(x)))
    z = _latents(seed, count * model.latent).reshape(count, -1)
    if part == "rollout":
        actions = _random16(seed, 1, count * horizon * model.action) >> 8
        moves = np.maximum(actions, -127).astype(np.int8).reshape(count, horizon, -1)
        return zlib.crc32(_little(reference.rollout(goal, z, moves)))
    if part == "heads":
        both = np.stack([reference.cost(goal, z), reference.value(goal, z)], axis=1)
        return zlib.crc32(_little(both.astype(np.int32)))
    if part == "prior":
        sequences = [fit_horizon(reference.prior(goal, row), horizon) for row in z]
        return zlib.crc32(b"".join(_little(actions) for actions in sequences))
    assert planner is not None
    return _plans(planner, goal, z)


def _plans(planner: IntegerMppi, goal: Goal, z: NDArray[np.int16]) -> int:
    checksum, mean = 0, None
    for row in z:
        mean, best, costs = planner.plan(goal, row, mean)
        for part in (mean, np.int32(best), costs.astype(np.int32)):
            checksum = zlib.crc32(_little(np.asarray(part)), checksum)
    return checksum


def _latents(seed: int, count: int) -> NDArray[np.int16]:
    x = _random16(seed, 0, count)
    return np.where(x & 3, x, _EDGES[(x >> 2) & 15]).astype(np.int16)


def _random16(seed: int, stream: int, count: int) -> Integers:
    counter = np.zeros((-(-count // 8), 4), np.int64)
    counter[:, 0] = np.arange(len(counter))
    counter[:, 1] = stream
    words = philox(counter, (seed, 0)).astype("<u4")
    return words.view("<i2").ravel()[:count].astype(np.int64)


def _little(x: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(x.astype(x.dtype.newbyteorder("<"))).tobytes()
