"""`sdiwm firmware` builds within its budgets, talks to an emulated board, says what is missing."""

import re
import shutil

from sdiwm_model.cli import main
from sdiwm_model.firmware.boards import FLASH_BUDGET, RAM_BUDGET


def test_build_says_what_it_takes(capsys, tmp_path):
    out = tmp_path / "firmware.elf"
    assert main(["firmware", "build", "--board", "stm32h743", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    flash = int(re.search(r"flash\s+(\d+)", said)[1])
    ram = int(re.search(r"RAM\s+(\d+)", said)[1])
    assert 20_000 < flash < FLASH_BUDGET
    assert 8_000 < ram < RAM_BUDGET
    assert out.read_bytes()[:4] == b"\x7fELF"


def test_run_talks_to_the_emulated_board(capsys):
    assert main(["firmware", "run", "--seconds", "0.1"]) == 0
    said = capsys.readouterr().out
    assert "mps2-an500: handshake done" in said
    assert re.search(r"frames 2, .*stack_peak \d+; round trip", said)


def test_flash_without_a_tool_says_which_to_install(capsys, monkeypatch):
    found = shutil.which
    tools = ("st-flash", "STM32_Programmer_CLI", "openocd")
    monkeypatch.setattr(shutil, "which", lambda name: None if name in tools else found(name))
    assert main(["firmware", "flash"]) == 2
    assert "No flashing tool was found: install one" in capsys.readouterr().err


def test_an_unknown_board_is_refused(capsys):
    assert main(["firmware", "build", "--board", "arduino"]) == 2
    assert "unknown board 'arduino'" in capsys.readouterr().err


def test_a_port_that_is_not_there_is_named(capsys):
    assert main(["firmware", "monitor", "--port", "/dev/nothing"]) == 2
    assert "/dev/nothing cannot be opened" in capsys.readouterr().err
