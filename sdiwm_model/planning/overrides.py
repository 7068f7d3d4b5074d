"""Planner settings changed from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import PlannerSettings

TRUTHS = {"true": True, "false": False}


def overridden(settings: PlannerSettings, changes: Sequence[str]) -> PlannerSettings:
    """``settings`` with each "NAME=VALUE" of ``changes`` applied.

    Raises:
        SdiwmError: no such setting, or a value of another type or out of its range.
    """
    known = asdict(settings)
    parsed: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise SdiwmError(
                f"planner setting '{change}': write NAME=VALUE, NAME one of {', '.join(known)}"
            )
        parsed[name] = _parse(name, text, type(known[name]))
    return replace(settings, **parsed)


def _parse(name: str, text: str, kind: type) -> float:
    try:
        return TRUTHS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise SdiwmError(f"planner setting '{name}' is '{text}': use {wanted}") from None
