"""Values on the command line that several commands take."""

import argparse


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add --port and --pil, which say where the back end `mcu` runs."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--port", metavar="PORT",
        help="for the back end mcu: the microcontroller's serial device, or socket://HOST:PORT",
    )  # fmt: skip
    group.add_argument(
        "--pil", nargs="?", const="mps2-an500", metavar="BOARD",
        help="for the back end mcu: an emulated chip (this is the default without --port); "
        "mps2-an500 is a Cortex-M7, mps3-an547 a Cortex-M55",
    )  # fmt: skip


def chosen_port(args: argparse.Namespace) -> str | None:
    """The port that `load_runtime` takes."""
    return f"pil:{args.pil}" if args.pil else args.port


def seed(text: str) -> int:
    """Return a seed, an integer from 0 to 2**32 - 1."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not an integer from 0 to 2**32 - 1")
    return value
