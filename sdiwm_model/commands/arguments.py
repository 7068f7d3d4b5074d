"""Values on the command line that several commands take."""

import argparse


def seed(text: str) -> int:
    """Return a seed, an integer from 0 to 2**32 - 1."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not an integer from 0 to 2**32 - 1")
    return value
