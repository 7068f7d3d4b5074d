"""A generated network on an emulated chip: random inputs drawn there, checksums and instructions.

The inputs of run `seed` are bytes of `random_bytes`, one input after the other; the same program,
mcu_firmware/tests/run_network.cpp, draws them on the chip.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.compiler import integers
from sdiwm_model.export.compiler.codegen import generate
from sdiwm_model.export.compiler.layout import Layout
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.cycles import Work, measure
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.image import build_image
from sdiwm_model.runtime.build import sources

NAME = "network"
REQUEST = struct.Struct("<III")
REPLY = struct.Struct("<III")
GIVEN = 0xFFFFFFFF  # in place of a seed: the inputs follow, in blocks
BLOCK = 1024  # bytes: the chip's ring has room for them; it answers each with RECEIVED
RECEIVED = b"\1"
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Run:
    """One run: FNV-1a of the outputs' bytes, instructions, most stack so far in bytes."""

    checksum: int
    instructions: float
    stack_bytes: int


class ChipNetwork:
    """A layout compiled for a board and started in the emulator; close it, or use `with`."""

    def __init__(self, layout: Layout, board: Board) -> None:
        self.layout, self.board = layout, board
        self._chip = Emulator(board, network_image(layout, board))

    def run(self, seed: int, count: int) -> list[Run]:
        """Runs on the inputs of seeds `seed` ... `seed` + count - 1."""
        self._chip.write(REQUEST.pack(seed, count, 1))
        return [self._reply() for _ in range(count)]

    def run_on(self, inputs: Mapping[str, ArrayLike]) -> Run:
        """One run on these integers, one array for every input."""
        _give(self._chip, REQUEST.pack(GIVEN, 1, 1), _raw(self.layout, inputs))
        return self._reply()

    def _reply(self) -> Run:
        checksum, ticks, stack = REPLY.unpack(_answer(self._chip, REPLY.size))
        return Run(checksum, self.board.instructions(ticks), stack)

    def close(self) -> None:
        """Stop the emulator."""
        self._chip.close()

    def __enter__(self) -> ChipNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def network_image(layout: Layout, board: Board) -> Path:
    """The ELF image of a layout with the program that runs it on random inputs."""
    main = sources() / "tests" / "run_network.cpp"
    return build_image(board, [main], generate(layout, NAME), definitions(layout))


def definitions(layout: Layout) -> list[str]:
    """Compiler flags that tell a program where inputs and outputs of a network lie."""
    program = layout.program

    def parts(names: list[str]) -> str:
        rows = (f"{{{layout.offset(n)},{program.tensors[n].bytes}}}" for n in names)
        return ",".join(rows)

    total = sum(program.tensors[name].bytes for name in program.inputs)
    defines = {"INPUT_BYTES": str(total), "OUTPUTS": parts(program.outputs), "ROW_BYTES": "0"}
    if layout.stage:
        picture = program.tensors[program.inputs[0]]
        defines["ROW_BYTES"] = str(picture.row_bytes)
        defines["PIXEL_BYTES"] = str(picture.row_bytes // picture.shape[1])
    else:
        defines["INPUTS"] = parts(program.inputs)
    return [f"-D{name}={value}" for name, value in defines.items()]


def work(layout: Layout, board: Board, inputs: Mapping[str, ArrayLike]) -> Work:
    """Instructions and estimated cycles of one run on these integers."""

    def run(chip: Emulator, times: int) -> None:
        _give(chip, REQUEST.pack(GIVEN, 1, times), _raw(layout, inputs))
        _answer(chip, REPLY.size)

    return measure(board, network_image(layout, board), run)


def _give(chip: Emulator, request: bytes, inputs: bytes) -> None:
    chip.write(request)
    for start in range(0, len(inputs), BLOCK):
        chip.write(inputs[start : start + BLOCK])
        _answer(chip, len(RECEIVED))


def _answer(chip: Emulator, size: int) -> bytes:
    data = chip.read(size, TIMEOUT_S)
    if len(data) != size:
        raise SdiwmError(f"{chip.board.name}: the network did not answer in {TIMEOUT_S:.0f} s")
    return data


def _raw(layout: Layout, inputs: Mapping[str, ArrayLike]) -> bytes:
    program = layout.program
    return b"".join(
        np.asarray(inputs[name]).astype(program.tensors[name].dtype).tobytes()
        for name in program.inputs
    )


def expected_checksum(layout: Layout, seed: int) -> int:
    """What the integer reference makes of the inputs of `seed`."""
    return checksum(layout, random_inputs(layout, seed))


def random_inputs(layout: Layout, seed: int) -> dict[str, NDArray[Any]]:
    """The inputs of `seed`, as the chip draws them."""
    program = layout.program
    sizes = [program.tensors[name].bytes for name in program.inputs]
    drawn = np.split(random_bytes(seed, sum(sizes)), np.cumsum(sizes)[:-1])
    return {
        name: raw.view(program.tensors[name].dtype)
        for name, raw in zip(program.inputs, drawn, strict=True)
    }


def checksum(layout: Layout, inputs: Mapping[str, ArrayLike]) -> int:
    """FNV-1a of the outputs' bytes by the integer reference."""
    program = layout.program
    values = integers.run(program, inputs)
    offset = {n: 128 if program.tensors[n].dtype == "uint8" else 0 for n in program.outputs}
    return fnv(layout, {name: values[name] + offset[name] for name in program.outputs})


def fnv(layout: Layout, outputs: Mapping[str, NDArray[np.int64]]) -> int:
    """FNV-1a of the bytes of these outputs."""
    found = 0x811C9DC5
    for name in layout.program.outputs:
        for byte in outputs[name].astype(layout.program.tensors[name].dtype).tobytes():
            found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found


def random_bytes(seed: int, count: int) -> NDArray[np.uint8]:
    """The first bytes of a stream (the finaliser of MurmurHash3, four bytes a call)."""
    mask = np.uint64(0xFFFFFFFF)
    n = np.arange(-(-count // 4), dtype=np.uint64)
    x = (np.uint64(seed) * np.uint64(0x9E3779B9) + n) & mask
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & mask
    x = ((x ^ (x >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & mask
    x ^= x >> np.uint64(16)
    return x.astype("<u4").view(np.uint8)[:count].copy()
