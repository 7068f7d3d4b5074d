"""Which share of a data set each behaviour gets."""

from __future__ import annotations

from sdiwm_model.errors import SdiwmError

NAMES = ("random", "scripted", "wrong_target", "near_target", "demonstration", "planner")
DEFAULT = "random=0.25,scripted=0.3,wrong_target=0.2,near_target=0.25"


def parse_mixture(text: str) -> dict[str, float]:
    """Read 'random=0.5,scripted=0.5' into shares that sum to 1.

    Raises:
        SdiwmError: an unknown or repeated behaviour, or a share that is not a positive number.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in NAMES:
            raise SdiwmError(
                f"--mixture: unknown behaviour '{name}': choose from {', '.join(NAMES)}"
            )
        if name in shares:
            raise SdiwmError(f"--mixture names '{name}' twice: give each behaviour one share")
        try:
            shares[name] = float(value)
        except ValueError:
            raise SdiwmError(f"--mixture: '{part}' is not NAME=SHARE, e.g. random=0.5") from None
        if not 0 < shares[name] < float("inf"):
            raise SdiwmError(f"--mixture: the share of '{name}' must be a number above 0")
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}
