"""The boards that firmware is built for: their flags, their emulator, their clock."""

from __future__ import annotations

from dataclasses import dataclass

from sdiwm_model.errors import SdiwmError


@dataclass(frozen=True)
class Board:
    """One folder of mcu_firmware/boards.

    name            as `sdiwm firmware --board` takes it, and as the chip answers
    folder          below mcu_firmware/boards
    flags           of the compiler, for this processor
    processor       what llvm-mca calls it
    machine         QEMU's name, None where it has no such board
    icount_shift    one instruction takes 2^shift ns of the emulated clock
    ticks_per_second  of the board's timer
    memory          bytes of code, and of data, that the emulated board has: a model that is too
                    large for the chip may still run there
    plan_cycles     cycles for each instruction of a plan, as `sdiwm bench mcu` estimates them,
    encoder_cycles  and of a picture's encoding
    """

    name: str
    folder: str
    flags: tuple[str, ...]
    processor: str
    machine: str | None
    icount_shift: int
    ticks_per_second: int
    memory: int
    plan_cycles: float
    encoder_cycles: float

    def instructions(self, ticks: int) -> float:
        """Timer ticks under emulation -> instructions; exact to one tick."""
        return ticks * 1e9 / self.ticks_per_second / (1 << self.icount_shift)

    def seconds(self, ticks: int, cycles_per_instruction: float) -> float:
        """Timer ticks -> time on a chip at 480 MHz; under emulation an estimate."""
        if self.machine is None:
            return ticks / self.ticks_per_second
        return self.instructions(ticks) * cycles_per_instruction / CLOCK_HZ


CLOCK_HZ = 480_000_000  # that estimates are for
RAM_BUDGET = 480 << 10  # bytes of data, bss and stack, as the linker scripts have it
FLASH_BUDGET = 512 << 10
M7_FLAGS = ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard")
BOARDS = {
    board.name: board
    for board in (
        Board(
            "mps2-an500", "mps2_an500", (*M7_FLAGS, "-mfpu=fpv5-sp-d16"),
            "cortex-m7", "mps2-an500", 6, 25_000_000, 4 << 20, 0.64, 0.61,
        ),
        Board(
            # gcc 12 -O3 vectorised straight-line code wrongly for Helium
            "mps3-an547", "mps3_an547",
            ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-mfpu=auto",
             "-fno-tree-slp-vectorize"),
            "cortex-m55", "mps3-an547", 5, 32_000_000, 512 << 10, 0.86, 1.04,
        ),
        Board(
            "stm32h743", "stm32h743", (*M7_FLAGS, "-mfpu=fpv5-d16"),
            "cortex-m7", None, 0, 480_000_000, 0, 1.0, 1.0,
        ),
    )
}  # fmt: skip


def find_board(name: str) -> Board:
    """The board of that name; SdiwmError where there is none."""
    if name not in BOARDS:
        raise SdiwmError(f"unknown board '{name}': choose one of {', '.join(BOARDS)}.")
    return BOARDS[name]
