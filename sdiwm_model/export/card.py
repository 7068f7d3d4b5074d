"""What a bundle says of itself: model_card.json, and MODEL_CARD.md for people."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import CARD, CARD_TEXT, FORMAT_VERSION, MANIFEST, read_manifest
from sdiwm_model.complexity import complexity
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.card_text import render
from sdiwm_model.files import atomic_path, read_json_object, sha256_of_file, write_json
from sdiwm_model.report import commit, machine, versions

REMEDY = "make the bundle again with `sdiwm compress`"


@dataclass(frozen=True)
class ModelCard:
    """JSON-able; what was not measured is null, and ``notes`` say why.

    parameters      of the float model
    macs            multiply-accumulates: per_frame (pictures to a latent), per_model_step, per_plan
    files           name -> {bytes, sha256}
    latency_ms      target -> {p50, p99, n}, or {ms_est} where it is estimated, of one plan
    memory          board -> {sram_bytes, flash_bytes, fits, notes}
    results         what `--episodes` measured: success in closed loop and the settings of that
    stages          what was done, oldest first: {step, parameters, macs_per_model_step, model_hash,
                    about}
    provenance      what the manifest says of the weights: commands, seeds, commits, data
    command         what wrote the bundle
    """

    task: str
    goals: tuple[str, ...]
    model_hash: str
    format_version: int
    size: str
    sizes: dict[str, Any]
    dt: float
    planner: dict[str, Any]
    parameters: int
    macs: dict[str, int]
    files: dict[str, dict[str, Any]]
    latency_ms: dict[str, dict[str, Any] | None]
    memory: dict[str, dict[str, Any] | None]
    results: dict[str, Any] | None
    stages: list[dict[str, Any]]
    provenance: dict[str, Any]
    command: str
    commit: str | None
    machine: dict[str, Any]
    versions: dict[str, str | None]
    notes: dict[str, str] = field(default_factory=dict)


def make_card(
    bundle: Path,
    stages: list[dict[str, Any]],
    latency_ms: dict[str, dict[str, Any] | None],
    memory: dict[str, dict[str, Any] | None],
    results: dict[str, Any] | None,
    notes: dict[str, str],
) -> ModelCard:
    """The card of an exported bundle, counted and hashed now; the measured figures are given."""
    manifest = read_manifest(bundle)
    sizes, planner = manifest.sizes, manifest.planner
    counted = complexity(sizes)
    macs = {"per_frame": counted.macs_per_frame}
    if sizes.dynamics_kind == "gru":
        steps = planner.candidates * planner.horizon * planner.iterations
        macs["per_model_step"] = sizes.macs_per_model_step
        macs["per_plan"] = steps * sizes.macs_per_model_step
    return ModelCard(
        task=manifest.task,
        goals=manifest.goals,
        model_hash=manifest.model_hash,
        format_version=FORMAT_VERSION,
        size=manifest.size,
        sizes=sizes.to_dict(),
        dt=manifest.dt,
        planner=asdict(planner),
        parameters=counted.parameters,
        macs=macs,
        files=_files(bundle),
        latency_ms=latency_ms,
        memory=memory,
        results=results,
        stages=stages,
        provenance=manifest.provenance,
        command=shlex.join(["sdiwm", *sys.argv[1:]]),
        commit=commit(),
        machine=machine(),
        versions=versions(),
        notes=notes,
    )


def write_card(bundle: Path, card: ModelCard) -> None:
    """Write model_card.json and MODEL_CARD.md; neither is part of the model's hash."""
    write_json(bundle / CARD, asdict(card))
    with atomic_path(bundle / CARD_TEXT) as temporary:
        temporary.write_text(render(card), encoding="utf-8")


def read_card(bundle: Path) -> ModelCard:
    """The card of a bundle.

    Raises:
        SdiwmError: there is none, it is damaged, or it is of another model than the bundle's.
    """
    content = read_json_object(bundle / CARD, REMEDY)
    try:
        card = ModelCard(**{**content, "goals": tuple(content["goals"])})
    except (KeyError, TypeError) as error:
        raise SdiwmError(
            f"{bundle / CARD}: a field is missing or unknown ({error}); {REMEDY}"
        ) from None
    expected = read_manifest(bundle, check_files=False).model_hash
    if card.model_hash != expected:
        raise SdiwmError(
            f"{bundle / CARD} is of model {card.model_hash}, the bundle is {expected}; {REMEDY}"
        )
    return card


def _files(bundle: Path) -> dict[str, dict[str, Any]]:
    """All files but the card itself and the manifest, which the model's hash is in."""
    skipped = {MANIFEST, CARD, CARD_TEXT}
    found = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name not in skipped)
    return {
        path.relative_to(bundle).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256_of_file(path),
        }
        for path in found
    }
