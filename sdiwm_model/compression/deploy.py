"""From a recipe to the bundle that is deployed: steps, export, C++ and model card."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.complexity import complexity
from sdiwm_model.compression.constraints import time_plans
from sdiwm_model.compression.pipeline import Source, run_steps
from sdiwm_model.compression.recipe import Recipe
from sdiwm_model.compression.targets import BOARD_OF, estimate_bundle
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.recordings import control
from sdiwm_model.export.bundle import check_replaceable, export_bundle
from sdiwm_model.export.card import ModelCard, make_card, write_card
from sdiwm_model.export.sources import write_sources
from sdiwm_model.export.variants import KINDS, export_variants, variant_file
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.mcu import fitting
from sdiwm_model.runtime.protocols import Runtime

RESULTS = ("success", "random_success", "oracle_success", "return_ratio", "backend", "replan")

Figures = dict[str, dict[str, Any] | None]


def deploy(
    recipe: Recipe, source: Source, work: Path, out: Path, episodes: int = 0, replan: str = "tick"
) -> ModelCard:
    """Run the recipe's steps in ``work`` and write the bundle ``out``, whole or not at all.

    Stopped, the same call goes on. An older bundle at ``out`` is replaced.

    Args:
        episodes: in closed loop, whose success the card tells; 0 for none.
        replan: "tick" or "step", how often a fresh plan is made in those.

    Raises:
        SdiwmError: what a step or the export refuses; ``out`` holds what is no bundle.
    """
    check_replaceable(out)
    folders = run_steps(recipe.steps, source, work)
    last = folders[-1] if folders else source.model
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        made = Path(temporary) / "bundle"
        export_bundle(last, made, source.seed)
        kinds = [kind for kind in KINDS if kind in recipe.formats]
        if kinds:
            export_variants(made, last, kinds, source.seed)
        if "cpp" in recipe.formats:
            write_sources(made)
        card = _card(made, [source.model, *folders], source.seed, episodes, replan)
        write_card(made, card)
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        made.rename(out)
    return card


def _card(bundle: Path, folders: list[Path], seed: int, episodes: int, replan: str) -> ModelCard:
    manifest = read_manifest(bundle)
    notes: dict[str, str] = {}
    latency: Figures = {}
    variants = [kind for kind in KINDS if (bundle / variant_file("step", kind)).is_file()]
    for name, variant in (("onnx", None), *((f"onnx_{kind}", kind) for kind in variants)):
        latency[name] = _plan_ms(load_runtime(bundle, "onnx", variant=variant), seed)
    backend = "native"
    try:
        latency[backend] = _plan_ms(load_runtime(bundle, backend), seed)
    except SdiwmError as error:
        latency[backend], notes["latency_ms.native"] = None, str(error)
        backend = "onnx"
    memory: Figures = {}
    for name, board in BOARD_OF.items():
        latency[name], memory[board] = _on_board(bundle, name, board, notes)
    results = None
    if episodes:
        block = control(manifest.task, [bundle], backend, episodes, [seed], replan)
        results = {key: block[key] for key in RESULTS if key in block}
    else:
        notes["results"] = "no closed-loop episodes were asked for: `sdiwm bench control` runs them"
    stages = [_stage(folder, step) for step, folder in _named(folders)]
    return make_card(bundle, stages, latency, memory, results, notes)


def _plan_ms(runtime: Runtime, seed: int) -> dict[str, Any]:
    manifest = runtime.manifest
    return time_plans(runtime.make_planner(manifest.planner, seed), manifest.sizes, seed)


def _on_board(
    bundle: Path, target: str, board: str, notes: dict[str, str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Milliseconds from a picture to an action, and memory; a reason where a chip cannot run it."""
    settings = fitting(read_manifest(bundle))
    try:
        found = estimate_bundle(bundle, board, settings)
    except SdiwmError as error:
        notes[f"latency_ms.{target}"] = str(error)
        return None, None
    told = found.to_dict()
    notes[f"latency_ms.{target}"] = (
        f"from a picture to an action at 480 MHz, with {settings.candidates} candidates x "
        f"{settings.horizon} steps; " + "; ".join(found.notes)
    ).rstrip("; ")
    return {"ms_est": found.ms_est, "plan_ms_est": found.plan_ms}, told


def _named(folders: list[Path]) -> list[tuple[str, Path]]:
    """Each folder with the name of its step."""
    return [
        ("source" if i == 0 else path.name.split("-")[1], path) for i, path in enumerate(folders)
    ]


def _stage(folder: Path, step: str) -> dict[str, Any]:
    manifest = read_manifest(folder, check_files=False)
    sizes = manifest.sizes
    return {
        "step": step,
        "model_hash": manifest.model_hash,
        "parameters": complexity(sizes).parameters,
        "macs_per_model_step": sizes.macs_per_model_step if sizes.dynamics_kind == "gru" else None,
    }
