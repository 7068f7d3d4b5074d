"""A program compiled for each board starts, counts its instructions and talks over its UART."""

from pathlib import Path

import numpy as np
import pytest

from sdiwm_model.errors import SdiwmError
from sdiwm_model.firmware import emulator
from sdiwm_model.firmware.boards import BOARDS
from sdiwm_model.firmware.emulator import Emulator
from sdiwm_model.firmware.image import build_image
from sdiwm_model.firmware.memory import FORBIDDEN, symbols
from sdiwm_model.firmware.program import Contents, build_firmware

ECHO = Path(__file__).with_name("echo.cpp")
EMULATED = [board for board in BOARDS.values() if board.machine]


def first_words(chip):
    return np.frombuffer(chip.read(16, timeout_s=20.0), "<u4")


@pytest.mark.parametrize("board", EMULATED, ids=lambda board: board.name)
def test_memory_clock_and_uart(board):
    image = build_image(board, [ECHO])
    with Emulator(board, image) as chip:
        initialised, zeroed, ticks, stack = first_words(chip)
        assert (initialised, zeroed) == (0x12345678, 0)
        instructions = board.instructions(ticks)
        assert 40_000 < instructions < 120_000  # 4 to 12 for each round of a volatile loop
        assert 16 <= stack < 1024
        sent = bytes(range(200)) * 8
        chip.write(sent)
        assert chip.read(len(sent), timeout_s=20.0) == bytes((b + 1) % 256 for b in sent)
    with Emulator(board, image) as chip:
        assert first_words(chip)[2] == ticks  # to the tick


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_no_heap_and_no_libstdcxx(board, quantised_with_prior):
    names = symbols(build_firmware(Contents(quantised_with_prior, "0123456789abcdef"), board))
    assert "main" in names
    assert not [name for name in names if FORBIDDEN.search(name)]


def test_what_exceeds_the_ram_budget_is_not_linked(tmp_path):
    greedy = tmp_path / "greedy.cpp"
    greedy.write_text("char big[481 * 1024]; int main() { return big[1]++; }\n")
    with pytest.raises(SdiwmError, match="RAM budget"):
        build_image(BOARDS["mps2-an500"], [greedy])


def test_a_board_that_is_not_modelled_is_refused(tmp_path):
    with pytest.raises(SdiwmError, match="does not model"):
        Emulator(BOARDS["stm32h743"], tmp_path / "any.elf")


def test_an_image_of_another_board_does_not_start(monkeypatch):
    monkeypatch.setattr(emulator, "START_TIMEOUT_S", 5.0)
    image = build_image(BOARDS["mps3-an547"], [ECHO])
    with pytest.raises(SdiwmError, match="mps2-an500.*(has ended|did not start)"):
        Emulator(BOARDS["mps2-an500"], image)
