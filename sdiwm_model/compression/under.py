"""`sdiwm compress --under`: the recipes of a file, of which the best within bounds is built.

What costs nothing to know is asked first: time and memory do not depend on weights. Recipes within
those bounds are run with a share of their updates and judged in closed loop, on the same episodes
as the model that they compress. All of it is kept in the work folder: a stopped search goes on.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdiwm_model.checkpoint import MANIFEST, read_manifest
from sdiwm_model.compression.constraints import (
    ON_CHIP,
    PLAN_MS,
    SUCCESS_DROP,
    Figures,
    Forecast,
    broken,
    check_reachable,
    on_chip,
    on_host,
)
from sdiwm_model.compression.deploy import deploy
from sdiwm_model.compression.pipeline import Source, run_steps, shortened
from sdiwm_model.compression.recipe import Recipe, RecipeFile
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.recordings import control
from sdiwm_model.export.bundle import export_bundle
from sdiwm_model.files import read_json_object, write_json
from sdiwm_model.runtime.mcu import fitting

MEMORY = "search.json"
WITHIN, OUTSIDE, LEFT_OUT = "judged", "outside the bounds", "not tried: more than search.most"


@dataclass(frozen=True)
class Row:
    """What is known of one recipe.

    figures   by the names of constraints; success_drop only where it was judged
    verdict   "judged", or why it was not
    success   in closed loop after a share of the updates, 0 to 1
    front     whether no judged recipe is as good in every figure and better in one
    """

    label: str
    figures: Figures
    verdict: str
    success: float | None = None
    front: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """All rows, the label of the best recipe, and what the model itself reaches."""

    rows: tuple[Row, ...]
    best: str
    success_of_model: float

    def check_success(self, constraints: Mapping[str, float]) -> None:
        """Refuse to build what loses more success than is allowed.

        Raises:
            SdiwmError: naming what loses least.
        """
        (best,) = (row for row in self.rows if row.label == self.best)
        if broken(constraints, best.figures):
            raise SdiwmError(
                f"--under {SUCCESS_DROP}={constraints[SUCCESS_DROP]:g} was not met: the nearest is "
                f"{best.label}, which loses {best.figures[SUCCESS_DROP]:.1f} points after a share "
                "of its updates; allow that, or raise search.share in the recipe"
            )


class Memory:
    """Figures that are known already, in the work folder."""

    def __init__(self, work: Path) -> None:
        self._path = work / MEMORY
        self._known: dict[str, Any] = {}
        if self._path.is_file():
            self._known = read_json_object(self._path, "remove it to search anew")

    def once(self, make: Callable[[], Any], *key: Any) -> Any:
        """The JSON-able value of ``make``, from the first time that it was asked for this key."""
        name = _digest(key)
        if name not in self._known:
            self._known[name] = make()
            write_json(self._path, self._known)
        return self._known[name]


def _digest(key: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def search(file: RecipeFile, source: Source, constraints: Mapping[str, float], work: Path) -> Found:
    """Judge the recipes of ``file`` that may be within ``constraints``.

    Raises:
        SdiwmError: no recipe can be, which is found before anything is trained.
    """
    recipes = {recipe.label: recipe for recipe in file.recipes}
    memory = Memory(work)
    forecasts = _forecasts(recipes, source, constraints, memory)
    check_reachable(constraints, forecasts, str(file.path))
    within = [label for label, each in forecasts.items() if not broken(constraints, each.figures)]
    tried = _spread(within, forecasts, file.search.most)
    episodes = file.search.episodes
    model = _success_of_model(source, episodes, memory)
    rows = []
    for label, each in forecasts.items():
        if label not in tried:
            missed = ", ".join(broken(constraints, each.figures))
            verdict = f"{OUTSIDE}: {missed}" if missed else LEFT_OUT
            rows.append(Row(label, each.figures, verdict, notes=each.notes))
            continue
        print(f"recipe {tried.index(label) + 1} of {len(tried)}: {label}", flush=True)
        short = shortened(recipes[label], file.search.share)
        success = _success(short, source, work, episodes, memory)
        figures = each.figures | {SUCCESS_DROP: 100 * (model - success)}
        rows.append(Row(label, figures, WITHIN, success, notes=each.notes))
    rows = _with_front(rows)
    return Found(tuple(rows), _best(rows), model)


def build(file: RecipeFile, source: Source, found: Found, work: Path, out: Path) -> dict[str, Any]:
    """Build the best recipe with all its updates; its results on the same episodes."""
    (recipe,) = (each for each in file.recipes if each.label == found.best)
    card = deploy(recipe, source, work, out, file.search.episodes, replan="step")
    assert card.results is not None
    success = _score(card.results)
    return {
        "label": found.best,
        "model_hash": card.model_hash,
        "success": success,
        SUCCESS_DROP: 100 * (found.success_of_model - success),
        "latency_ms": card.latency_ms,
    }


def _forecasts(
    recipes: Mapping[str, Recipe],
    source: Source,
    constraints: Mapping[str, float],
    memory: Memory,
) -> dict[str, Forecast]:
    start, origin = source.foreseen(), read_manifest(source.model)
    targets = sorted({ON_CHIP[name] for name in constraints if name in ON_CHIP})
    found = {}
    for label, recipe in recipes.items():
        after = recipe.foresee(start)
        sizes, planner = asdict(after.sizes), asdict(after.planner)
        host = partial(on_host, after, source.seed)
        parts = [memory.once(_dict_of(host), "plan", sizes, planner, source.seed, platform.node())]
        settings = fitting(replace(origin, sizes=after.sizes, planner=after.planner))
        for target in targets:
            chip = partial(on_chip, target, after.sizes, settings, source.seed)
            parts.append(memory.once(_dict_of(chip), target, sizes, asdict(settings), source.seed))
        figures = {name: figure for part in parts for name, figure in part["figures"].items()}
        found[label] = Forecast(figures, tuple(note for part in parts for note in part["notes"]))
    return found


def _dict_of(make: Callable[[], Forecast]) -> Callable[[], dict[str, Any]]:
    return lambda: asdict(make())


def _spread(within: list[str], forecasts: Mapping[str, Forecast], most: int) -> list[str]:
    """At most so many, evenly from the fastest to the slowest."""
    ordered = sorted(within, key=lambda label: forecasts[label].figures[PLAN_MS] or 0.0)
    if len(ordered) <= most:
        return ordered
    if most == 1:
        return ordered[-1:]
    return [ordered[round(i * (len(ordered) - 1) / (most - 1))] for i in range(most)]


def _success_of_model(source: Source, episodes: int, memory: Memory) -> float:
    manifest = read_manifest(source.model)

    def judge() -> float:
        print(f"the model itself, {episodes} episodes", flush=True)
        return _judged(manifest.task, source.model, "torch", episodes, source.seed)

    return float(memory.once(judge, "success", manifest.model_hash, episodes, source.seed))


def _success(recipe: Recipe, source: Source, work: Path, episodes: int, memory: Memory) -> float:
    """Of the recipe's bundle, on the engine."""
    steps = [[step.name, step.settings()] for step in recipe.steps]
    key = "success", source.identity(), steps, episodes

    def judge() -> float:
        folders = run_steps(recipe.steps, source, work)
        bundle = work / f"bundle-{_digest(key)}"
        if not (bundle / MANIFEST).is_file():
            export_bundle(folders[-1] if folders else source.model, bundle, source.seed)
        return _judged(read_manifest(bundle).task, bundle, "native", episodes, source.seed)

    return float(memory.once(judge, *key))


def _judged(task: str, folder: Path, backend: str, episodes: int, seed: int) -> float:
    """With one plan a model step, as slow models can make: the same for all."""
    return _score(control(task, [folder], backend, episodes, [seed], replan="step"))


def _score(block: Mapping[str, Any]) -> float:
    """Success, or the share of the oracle's return where a task is judged by that."""
    return float(block["return_ratio" if "return_ratio" in block else "success"]["mean"])


def _with_front(rows: Sequence[Row]) -> list[Row]:
    judged = [row for row in rows if row.success is not None]
    return [
        replace(row, front=row in judged and not any(_beats(other, row) for other in judged))
        for row in rows
    ]


def _beats(one: Row, other: Row) -> bool:
    """Whether ``one`` is as good in every figure and better in one: all are better when smaller."""
    pairs = [(one.figures[name], other.figures[name]) for name in one.figures]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return all(a <= b for a, b in known) and any(a < b for a, b in known)


def _best(rows: Sequence[Row]) -> str:
    """The judged recipe that loses least success, and of those the fastest."""
    front = [row for row in rows if row.front]
    return min(
        front, key=lambda row: (row.figures[SUCCESS_DROP] or 0.0, row.figures[PLAN_MS] or 0.0)
    ).label


def print_table(found: Found) -> None:
    """One line for each recipe; those of the Pareto front are marked."""
    names = list(dict.fromkeys(name for row in found.rows for name in row.figures))
    width = max(len(row.label) for row in found.rows)
    print(f"  {'recipe':<{width}}" + "".join(f"{name:>14}" for name in names) + f"{'success':>9}")
    for row in found.rows:
        cells = "".join(f"{_cell(row.figures.get(name)):>14}" for name in names)
        success = "-" if row.success is None else f"{row.success:.1%}"
        mark = "*" if row.front else " "
        print(f"{mark} {row.label:<{width}}{cells}{success:>9}  {row.verdict}")
    print(f"* Pareto front; the model itself: {found.success_of_model:.1%}; best: {found.best}")


def _cell(figure: float | None) -> str:
    return "?" if figure is None else f"{figure:.3g}"
