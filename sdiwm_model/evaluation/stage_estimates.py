"""What every stage takes on microcontrollers: exact bytes, estimated milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.compression.targets import BOARD_OF, estimate_bundle
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.kept import Kept
from sdiwm_model.evaluation.stages import Stage, missing_for
from sdiwm_model.runtime.mcu import fitting


def estimates(
    stages: Sequence[Stage], kept: Kept, notes: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """For each stage, its first bundle's integers on each board: entries of `latency_ms`.

    `plan_ms` and `ms_est`, from a picture to an action, of a plan as large as the firmware has
    room for (`plan`); null where the board cannot run it, with the reason in ``notes``.
    """
    found: dict[str, dict[str, Any]] = {}
    made: dict[tuple[Path, str], dict[str, Any]] = {}  # a bundle may be of several stages
    for stage in stages:
        found[stage.name] = {}
        for target, board in BOARD_OF.items():
            key = stage.bundles[0], board
            if key not in made:
                made[key] = _kept_estimate(kept, *key)
            found[stage.name][target] = made[key]["estimate"]
            if made[key]["notes"]:
                notes[f"stages.{stage.name}.latency_ms.{target}"] = made[key]["notes"]
    return found


def _kept_estimate(kept: Kept, bundle: Path, board: str) -> dict[str, Any]:
    manifest = read_manifest(bundle)
    plan = asdict(fitting(manifest))
    about = {"model_hash": manifest.model_hash, "planner": plan, "board": board}
    return kept(f"estimate-{board}", about, lambda: _estimate(bundle, board))


def _estimate(bundle: Path, board: str) -> dict[str, Any]:
    manifest = read_manifest(bundle)
    if missing := missing_for("native", manifest):
        return {"estimate": None, "notes": missing}
    settings = fitting(manifest)
    try:
        told = estimate_bundle(bundle, board, settings).to_dict()
    except SdiwmError as error:
        return {"estimate": None, "notes": str(error)}
    told |= {"plan": f"{settings.candidates}x{settings.horizon}"}
    return {"estimate": told, "notes": "; ".join(told.pop("notes"))}
