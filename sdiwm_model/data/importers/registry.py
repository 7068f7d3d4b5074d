"""The formats that can be imported and exported: the entry-point group `sdiwm.formats`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from sdiwm_model.data.importers.protocols import Format
from sdiwm_model.errors import SdiwmError
from sdiwm_model.plugins import discover

GROUP = "sdiwm.formats"


@cache
def formats() -> dict[str, Format]:
    """Every registered format by name; one that cannot be loaded is named on stderr, once."""
    found: dict[str, Format] = {}
    for name, plugin in discover(GROUP).items():
        try:
            loaded = plugin.load()
        except Exception as error:  # a broken part must not hide the others
            print(f"format {name} cannot be used: {error}", file=sys.stderr)
            continue
        if isinstance(loaded, Format):
            found[name] = loaded
        else:
            print(f"format {name} cannot be used: it is no Format", file=sys.stderr)
    return found


def format_named(name: str) -> Format:
    """The format `name`.

    Raises:
        SdiwmError: there is none of that name.
    """
    if name not in formats():
        raise SdiwmError(f"there is no format '{name}'; there are: {', '.join(formats())}")
    return formats()[name]


def find_format(source: Path, name: str = "") -> Format:
    """The format `name`, or without a name the one that recognises `source`.

    Raises:
        SdiwmError: the source does not exist, or none or several know it.
    """
    if not source.exists():
        raise SdiwmError(f"{source} does not exist; name a recording")
    if name:
        return format_named(name)
    found = [each for each, known in formats().items() if known.detects(source)]
    if len(found) > 1:
        raise SdiwmError(f"{source} may be {' or '.join(found)}: say which with --format")
    if not found:
        known = "; ".join(f"{each} ({known.description})" for each, known in formats().items())
        raise SdiwmError(f"{source} is no recording that can be imported; there are: {known}")
    return formats()[found[0]]
