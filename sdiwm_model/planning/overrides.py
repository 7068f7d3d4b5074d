"""Settings changed from the command line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)

TRUTHS = {"true": True, "false": False}


def overridden(
    settings: Settings,
    changes: Sequence[str],
    kind: str = "planner setting",
    fixed: Collection[str] = (),
) -> Settings:
    """``settings`` with each "NAME=VALUE" of ``changes`` applied.

    Args:
        kind: what they are called.
        fixed: names that cannot be changed so.

    Raises:
        SdiwmError: no such setting, or a value of another type or out of its range.
    """
    known = {name: value for name, value in asdict(settings).items() if name not in fixed}
    parsed: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise SdiwmError(f"{kind} '{change}': write NAME=VALUE, NAME one of {', '.join(known)}")
        parsed[name] = _parse(f"{kind} '{name}'", text, type(known[name]))
    return replace(settings, **parsed)


def _parse(named: str, text: str, kind: type) -> float | str:
    try:
        return TRUTHS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise SdiwmError(f"{named} is '{text}': use {wanted}") from None
