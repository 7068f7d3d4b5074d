"""From a recipe to the bundle that is deployed: steps, export, C++ and model card."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.complexity import complexity
from sdiwm_model.compression.pipeline import Source, run_steps
from sdiwm_model.compression.recipe import Recipe
from sdiwm_model.compression.targets import BOARD_OF, estimate_bundle
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.recordings import closed_loop
from sdiwm_model.export.bundle import check_replaceable, export_bundle
from sdiwm_model.export.card import ModelCard, make_card, write_card
from sdiwm_model.export.sources import write_sources
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.report import distribution
from sdiwm_model.runtime.load import load_runtime
from sdiwm_model.runtime.mcu import fitting
from sdiwm_model.runtime.protocols import Runtime

PLANS, WARM_UP = 50, 3  # timed for the card

Figures = dict[str, dict[str, Any] | None]


def deploy(recipe: Recipe, source: Source, work: Path, out: Path, episodes: int = 0) -> ModelCard:
    """Run the recipe's steps in ``work`` and write the bundle ``out``, whole or not at all.

    Stopped, the same call goes on. An older bundle at ``out`` is replaced.

    Args:
        episodes: in closed loop, whose success the card tells; 0 for none.

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
        if "cpp" in recipe.formats:
            write_sources(made)
        card = _card(made, [source.model, *folders], source.seed, episodes)
        write_card(made, card)
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        made.rename(out)
    return card


def _card(bundle: Path, folders: list[Path], seed: int, episodes: int) -> ModelCard:
    manifest = read_manifest(bundle)
    notes: dict[str, str] = {}
    latency: Figures = {}
    backends = ["onnx", *(["native"] if _has_engine(bundle) else [])]
    for backend in backends:
        latency[backend] = plan_ms(load_runtime(bundle, backend), manifest.planner, seed)
    memory: Figures = {}
    for name, board in BOARD_OF.items():
        latency[name], memory[board] = _on_board(bundle, name, board, notes)
    results = None
    if episodes:
        results = closed_loop(manifest.task, bundle, backends[-1], episodes, [seed])
        results |= {"episodes": episodes, "seed": seed, "backend": backends[-1]}
    else:
        notes["results"] = "no closed-loop episodes were asked for: `sdiwm bench control` runs them"
    stages = [_stage(folder, step) for step, folder in _named(folders)]
    return make_card(bundle, stages, latency, memory, results, notes)


def _has_engine(bundle: Path) -> bool:
    return (bundle / "engine.safetensors").is_file()


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


def plan_ms(runtime: Runtime, settings: PlannerSettings, seed: int) -> dict[str, Any]:
    """Milliseconds of a plan on this machine, one thread, as {p50, p99, p999, max, n}."""
    sizes = runtime.manifest.sizes
    rng = np.random.default_rng(seed)
    z = np.tanh(rng.standard_normal(sizes.latent)).astype(np.float32)
    c = rng.uniform(-1, 1, sizes.conditioning).astype(np.float32)
    planner = runtime.make_planner(settings, seed)
    warm_start = planner.plan(z, c, None).actions
    return distribution(_times(lambda: planner.plan(z, c, warm_start)))


def _times(call: Callable[[], object]) -> list[float]:
    times = []
    for number in range(WARM_UP + PLANS):
        began = time.perf_counter()
        call()
        if number >= WARM_UP:
            times.append(1e3 * (time.perf_counter() - began))
    return times
