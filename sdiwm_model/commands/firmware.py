"""Build, run, flash and watch the firmware of a microcontroller.

build    compile a bundle's firmware for a board, and say how large it is
run      build it, start it under QEMU, and talk to it until Ctrl-C
flash    build it for the STM32H743 and write it with st-flash, STM32_Programmer_CLI or openocd
monitor  shake hands with a board on a port and show what it counts, once a second
fuzz     search the frame decoder and the command handler for faults, by libFuzzer
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from sdiwm_model.firmware.program import Contents
    from sdiwm_model.runtime.mcu import McuRuntime

HELP = "build, run, flash and watch the firmware of a microcontroller"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-parser for each action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, line in (
        ("build", "compile a bundle's firmware for a board"),
        ("run", "start it under QEMU and talk to it until Ctrl-C"),
        ("flash", "write it to an STM32H743 through its ST-LINK"),
        ("monitor", "show what a running board counts, once a second, until Ctrl-C"),
        ("fuzz", "search the command handler for faults"),
    ):
        action = actions.add_parser(name, help=line, description=line)
        action.add_argument("--task", default="reach", help="whose weights")
        action.add_argument("--model", type=Path, metavar="BUNDLE", help="another bundle")
        if name in ("build", "run"):
            action.add_argument("--board", default="mps2-an500", help="board; see mcu_firmware/")
        if name in ("build", "fuzz"):
            action.add_argument("--out", type=Path, metavar="PATH", help="where to put the result")
        if name == "monitor":
            action.add_argument("--port", required=True, help="device, or socket://HOST:PORT")
        if name in ("run", "monitor"):
            action.add_argument("--seconds", type=float, help="stop after this long")
        if name == "fuzz":
            action.add_argument("--seconds", type=int, default=600, help="how long")


def run(args: argparse.Namespace) -> int:
    """Do the chosen action."""
    if args.action == "build":
        image = _build(args, args.board)
        if args.out is not None:
            import shutil

            shutil.copyfile(image, args.out)
        print(args.out or image)
    elif args.action == "run":
        _watch(args, f"pil:{args.board}")
    elif args.action == "flash":
        _flash(_build(args, "stm32h743"))
    elif args.action == "monitor":
        _watch(args, args.port)
    else:
        _fuzz(args)
    return 0


def _contents(args: argparse.Namespace) -> Contents:
    from sdiwm_model.firmware.program import Contents
    from sdiwm_model.shipped import bundle_folder

    return Contents.of_bundle(bundle_folder(args.model, args.task))


def _build(args: argparse.Namespace, name: str) -> Path:
    """Build for a board and print what it takes."""
    from sdiwm_model.firmware.boards import FLASH_BUDGET, RAM_BUDGET, find_board
    from sdiwm_model.firmware.memory import memory_of
    from sdiwm_model.firmware.program import build_firmware

    contents = _contents(args)
    board = find_board(name)
    image = build_firmware(contents, board)
    memory = memory_of(image)
    without = "" if contents.encoder else ", without an image encoder: the bundle holds none"
    print(f"{board.name}, model {contents.model_hash}{without}")
    print(f"  flash  {memory.flash:7d} of {FLASH_BUDGET} bytes")
    print(f"  RAM    {memory.ram:7d} of {RAM_BUDGET} bytes: data {memory.data}, bss {memory.bss}, "
          f"stack {memory.stack}")  # fmt: skip
    return image


def _watch(args: argparse.Namespace, port: str) -> None:
    """Print the board's counters once a second until Ctrl-C."""
    import time

    from sdiwm_model.runtime.mcu import McuRuntime
    from sdiwm_model.shipped import bundle_folder

    runtime = McuRuntime(bundle_folder(args.model, args.task), port=port)
    try:
        print(f"{runtime.link.board}: handshake done; Ctrl-C ends")
        end = None if args.seconds is None else time.monotonic() + args.seconds
        while end is None or time.monotonic() < end:
            _print_statistics(runtime)
            time.sleep(1.0)
    except KeyboardInterrupt:
        pass
    finally:
        runtime.close()


def _print_statistics(runtime: McuRuntime) -> None:
    counted = runtime.link.read_statistics()
    shown = [f"{name} {value}" for name, value in counted.items() if name != "action" and value]
    trip = runtime.link.statistics.round_trip_ms[-1]
    print(f"{', '.join(shown)}; round trip {trip:.2f} ms", flush=True)


def _flash(image: Path) -> None:
    """Write with the first flashing tool on the path."""
    import shutil
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sdiwm-flash-") as folder:
        raw = Path(folder) / "firmware.bin"
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", image, raw], check=True)
        at = "0x08000000"
        commands = {
            "st-flash": ["st-flash", "--reset", "write", str(raw), at],
            "STM32_Programmer_CLI": [
                "STM32_Programmer_CLI", "-c", "port=SWD", "-w", str(raw), at, "-v", "-rst",
            ],
            "openocd": [
                "openocd", "-f", "board/st_nucleo_h743zi.cfg",
                "-c", f"program {raw} {at} verify reset exit",
            ],
        }  # fmt: skip
        for tool, command in commands.items():
            if shutil.which(tool):
                if subprocess.run(command).returncode:
                    raise SdiwmError(f"`{tool}` could not write the chip: check the ST-LINK's USB.")
                return
    raise SdiwmError(
        "No flashing tool was found: install one, `sudo apt-get install stlink-tools` (st-flash) "
        f"or `sudo apt-get install openocd`, or write {image} with STM32CubeProgrammer."
    )


def _fuzz(args: argparse.Namespace) -> None:
    from sdiwm_model.firmware.on_host import build_fuzzer, fuzz, seed_corpus

    folder = args.out or Path("out/fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    contents = _contents(args)
    seed_corpus(contents, folder / "corpus")
    fuzz(build_fuzzer(contents, folder), folder / "corpus", args.seconds)
