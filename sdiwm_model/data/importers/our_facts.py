"""What an export keeps in another program's format so that importing it gives the same again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.errors import SdiwmError

OURS_VERSION = 1


def our_facts(spec: EpisodeSpec) -> dict[str, Any]:
    """Shapes and task, JSON-able. Frames are decoded on the way: their encoding is not kept."""
    values = asdict(spec) | {"encoding": "raw"}
    return {"format_version": OURS_VERSION, "task": values.pop("task"), "spec": values}


def facts_to_json(spec: EpisodeSpec) -> str:
    """The same as text."""
    return json.dumps(our_facts(spec), allow_nan=False)


def facts_from_json(text: str, path: Path) -> dict[str, Any]:
    """What `our_facts` gave.

    Raises:
        SdiwmError: `path`, which holds the text, is damaged or of another release.
    """
    try:
        facts = json.loads(text)
        version = facts["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise SdiwmError(f"{path}: what sdiwm kept there is damaged ({error})") from None
    if version != OURS_VERSION:
        raise SdiwmError(
            f"{path} was exported by another release; import it with the one that wrote it"
        )
    return dict(facts)
