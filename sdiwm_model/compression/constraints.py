"""What `--under` bounds, and what a model of some size takes before it is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdiwm_model.compression.steps import Foreseen
from sdiwm_model.compression.targets import BOARD_OF, contents_of_size, engine_of_size, estimate
from sdiwm_model.errors import SdiwmError
from sdiwm_model.planning.protocols import Planner, PlannerSettings
from sdiwm_model.report import distribution
from sdiwm_model.runtime.native import NativeEngine
from sdiwm_model.sizes import ModelSize

SUCCESS_DROP = "success_drop"
PLAN_MS = "plan_ms"
ON_CHIP = {"sram_kb": "m7_est", "flash_kb": "m7_est", "m7_ms": "m7_est", "m55_ms": "m55_est"}
MEANINGS = {
    PLAN_MS: "median of one plan on this machine's engine, one thread",
    "sram_kb": "data, bss and stack of the Cortex-M7's firmware, in 1024 bytes",
    "flash_kb": "code and constants of the same",
    "m7_ms": "from a picture to an action on a Cortex-M7 at 480 MHz, estimated",
    "m55_ms": "the same on a Cortex-M55",
    SUCCESS_DROP: "points of success, of 100, below the model's on the same episodes",
}
PLANS, WARM_UP = 50, 3

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Forecast:
    """Figures of a model that is not trained yet, by constraint, and why one is unknown."""

    figures: Figures
    notes: tuple[str, ...] = ()


def read_constraints(texts: Sequence[str]) -> dict[str, float]:
    """The bounds in "NAME=VALUE" each.

    Raises:
        SdiwmError: an unknown name, one given twice, or a value that is no positive number.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in MEANINGS:
            raise SdiwmError(
                f"--under {text}: there is no constraint '{name}': write NAME=VALUE, NAME one of "
                f"{', '.join(MEANINGS)}"
            )
        if name in found:
            raise SdiwmError(f"--under names {name} twice: once is enough")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = float("nan")
        least = 0.0 if name == SUCCESS_DROP else np.nextafter(0, 1)
        if not least <= found[name] < np.inf:
            raise SdiwmError(f"--under {text}: '{value}' is no number above 0")
    return found


def on_host(after: Foreseen, seed: int) -> Forecast:
    """The time of a plan with random weights of that size: it does not depend on weights.

    Raises:
        SdiwmError: the engine does not run this size.
    """
    engine = NativeEngine(engine_of_size(after.sizes, seed))
    planner = engine.make_planner(after.planner, seed)
    return Forecast({PLAN_MS: time_plans(planner, after.sizes, seed)["p50"]})


def on_chip(target: str, sizes: ModelSize, settings: PlannerSettings, seed: int) -> Forecast:
    """Time and memory of a firmware with random weights of that size.

    Args:
        target: a value of `ON_CHIP`.
        settings: of a plan that the firmware has room for.

    Raises:
        SdiwmError: the chip does not run this size, or there is no cross-compiler.
    """
    found = estimate(contents_of_size(sizes, seed), BOARD_OF[target], settings)
    figures: Figures = {target.replace("_est", "_ms"): found.ms_est}
    if target == "m7_est":
        figures |= {"sram_kb": found.sram_bytes / 1024, "flash_kb": found.flash_bytes / 1024}
    return Forecast(figures, tuple(f"{found.board}: {note}" for note in found.notes))


def time_plans(planner: Planner, sizes: ModelSize, seed: int) -> dict[str, Any]:
    """Milliseconds of a plan from a random latent, warm start given, as {p50, p99, ...}."""
    rng = np.random.default_rng(seed)
    z = np.tanh(rng.standard_normal(sizes.latent)).astype(np.float32)
    c = rng.uniform(-1, 1, sizes.conditioning).astype(np.float32)
    warm_start = planner.plan(z, c, None).actions
    times = []
    for _ in range(WARM_UP + PLANS):
        began = time.perf_counter()
        planner.plan(z, c, warm_start)
        times.append(1e3 * (time.perf_counter() - began))
    return distribution(times[WARM_UP:])


def broken(constraints: Mapping[str, float], figures: Figures) -> list[str]:
    """Names of the constraints that these figures do not keep; an unknown figure keeps none."""
    kept = {
        name
        for name, limit in constraints.items()
        if name not in figures or _within(figures[name], limit)
    }
    return [name for name in constraints if name not in kept]


def _within(figure: float | None, limit: float) -> bool:
    return figure is not None and figure <= limit


def check_reachable(
    constraints: Mapping[str, float], forecasts: Mapping[str, Forecast], where: str
) -> None:
    """Refuse constraints that no recipe keeps, before anything is trained.

    Args:
        forecasts: of every recipe, by its label.
        where: the recipes' file.

    Raises:
        SdiwmError: naming the constraint and the nearest that can be reached.
    """
    for name, limit in constraints.items():
        known = {
            label: figure
            for label, each in forecasts.items()
            if (figure := each.figures.get(name)) is not None
        }
        if name == SUCCESS_DROP or any(figure <= limit for figure in known.values()):
            continue
        if not known:
            reasons = {note for each in forecasts.values() for note in each.notes}
            raise SdiwmError(f"--under {name}: it is unknown here ({'; '.join(sorted(reasons))})")
        nearest = min(known, key=lambda label: known[label])
        raise SdiwmError(
            f"--under {name}={limit:g} cannot be met: of the recipes in {where} the nearest "
            f"reaches {known[nearest]:.3g} ({nearest}); allow that, or name other recipes"
        )
    if all(broken(constraints, each.figures) for each in forecasts.values()):
        nearest = min(forecasts, key=lambda label: _excess(constraints, forecasts[label]))
        figures = forecasts[nearest].figures
        told = ", ".join(
            f"{n}={figures[n] or float('nan'):.3g}" for n in constraints if n in figures
        )
        raise SdiwmError(
            f"--under: each constraint can be met, but no recipe in {where} meets all; the nearest "
            f"is {nearest} with {told}"
        )


def _excess(constraints: Mapping[str, float], each: Forecast) -> float:
    """By what factor the worst constraint is missed."""
    factors = [
        (np.inf if each.figures[name] is None else float(each.figures[name] or 0) / limit)
        for name, limit in constraints.items()
        if name in each.figures
    ]
    return max(factors, default=0.0)
