"""The pictures of a horizon report: similarity and decoded error against T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdiwm_model.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {"shipped": ("#1b6ca8", "-"), "int8": ("#d1495b", "--"), "one_step": ("#7a7a7a", "-")}
LABELS = {"shipped": "this model", "int8": "this model, int8", "one_step": "trained one step ahead"}
RIVALS = {
    "persistence": "#b5651d",
    "linear_ar": "#6a4c93",
    "shuffled_actions": "#2a9d8f",
    "other_actions": "#8ab17d",
    "time_mean": "#c9ada7",
    "shuffled_episode": "#9a8c98",
    "mean": "#adb5bd",
}
RIVAL_LABELS = {
    "linear_ar": "linear autoregression",
    "shuffled_actions": "this model, all actions shuffled",
    "other_actions": "this model, another episode's actions",
    "shuffled_episode": "another episode",
}
DASHES = ("-", "--", ":", "-.")
SHOWN = {"m": ("cm", 100.0, 1)}  # unit, factor and decimals of what is shown


def draw_curves(path: Path, results: Mapping[str, Any], task: str, dt: float) -> None:
    """Write a PNG: HRI@T of every block and baseline, and the decoded error in each unit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks = {name: results[name] for name in STYLES if results.get(name) is not None}
    units = list(dict.fromkeys(_unit(name) for name in blocks["shipped"]["probe_error"]))
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    mosaic: list[Any] = [["hri", unit] for unit in units]
    axes = figure.subplot_mosaic(mosaic, width_ratios=[1.5, 1])
    steps = len(blocks["shipped"]["hri"])
    _draw_hri(axes["hri"], blocks, results.get("training_seeds", {}).get("hri", ()))
    for unit in units:
        _draw_errors(axes[unit], blocks, unit)
    for each in axes.values():
        each.set_xlim(0, steps)
        each.grid(alpha=0.25)
    label = f"T, model steps of {dt * 1000:.0f} ms, nothing re-encoded"
    axes["hri"].set_xlabel(label)
    axes[units[-1]].set_xlabel(label)
    figure.suptitle(f"Task {task}: imagined from one observation and {steps} recorded actions")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _draw_hri(axes: Axes, blocks: Mapping[str, Any], family: Sequence[Sequence[float]]) -> None:
    horizon = np.arange(1, len(blocks["shipped"]["hri"]) + 1)
    labels: list[tuple[float, str, str]] = []
    for curve in family[1:]:
        axes.plot(horizon, curve, color=STYLES["shipped"][0], lw=0.8, alpha=0.6)
    for name, block in blocks.items():
        colour, dashes = STYLES[name]
        axes.plot(horizon, block["hri"], color=colour, ls=dashes, lw=2.2, zorder=3)
        low, high = np.array(block["hri_ci95"]).T
        axes.fill_between(horizon, low, high, color=colour, alpha=0.18, lw=0)
        labels.append((block["hri"][-1], LABELS[name], colour))
    if len(family) > 1:
        labels.append((min(curve[-1] for curve in family[1:]), "other training seeds", "#1b6ca8"))
    shipped = blocks["shipped"]
    if "ceiling" in shipped:
        axes.plot(horizon, shipped["ceiling"], color="black", lw=1, ls=(0, (1, 1)))
        labels.append((shipped["ceiling"][-1], "ceiling: simulator, start as uncertain", "black"))
    for name, colour in RIVALS.items():
        curve = shipped["baselines"][name]
        axes.plot(horizon, curve, color=colour, lw=1.2)
        labels.append((curve[-1], RIVAL_LABELS.get(name, name.replace("_", " ")), colour))
    lowest = min(0.0, *(float(np.min(curve)) for curve in shipped["baselines"].values()))
    axes.set_ylim(lowest - 0.04, 1.02)
    axes.set_ylabel("HRI: whitened cosine similarity")
    axes.set_title("how alike imagined and true latents are (band: 95 % over episodes)", size=10)
    _label_ends(axes, labels)


def _label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write each curve's name and last value right of its end, none over another."""
    low, high = axes.get_ylim()
    gap = (high - low) / 24
    heights = _spread_out([value for value, _, _ in sorted(labels)], gap, low, high)
    for height, (value, name, colour) in zip(heights, sorted(labels), strict=True):
        axes.annotate(
            f"{value:.2f} {name}", (1.01, height), xycoords=("axes fraction", "data"),
            color=colour, size=8, va="center", annotation_clip=False,
        )  # fmt: skip


def _spread_out(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights at least ``gap`` apart, close to ascending ``values``, within bounds."""
    heights: list[float] = []
    for value in values:
        heights.append(max(value, heights[-1] + gap) if heights else max(value, low))
    top = high
    for index in reversed(range(len(heights))):
        heights[index] = min(heights[index], top)
        top = heights[index] - gap
    return heights


def _draw_errors(axes: Axes, blocks: Mapping[str, Any], unit: str) -> None:
    shown, factor, decimals = SHOWN.get(unit, (unit.replace("_per_", "/"), 1.0, 3))
    horizon = np.arange(1, len(blocks["shipped"]["hri"]) + 1)
    groups = [name for name in blocks["shipped"]["probe_error"] if _unit(name) == unit]
    for group, dashes in zip(groups, DASHES, strict=False):
        label = group.removesuffix(f"_{unit}")
        for name, block in blocks.items():
            curve = factor * np.asarray(block["probe_error"][group])
            axes.plot(horizon, curve, color=STYLES[name][0], ls=dashes, lw=1.8)
            if name != "int8":
                last = curve[-1]
                axes.annotate(
                    f"{label} {last:.{decimals}f}", (1.01, last), color=STYLES[name][0], size=8,
                    xycoords=("axes fraction", "data"), va="center", annotation_clip=False,
                )  # fmt: skip
        floor = factor * np.asarray(blocks["shipped"]["probe_error_of_encoder"][group])
        axes.plot(horizon, floor, color="black", ls=dashes, lw=0.8, alpha=0.7)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"error, {shown}")
    axes.set_title("decoded from the latent (black: from the true one)", size=10)


def _unit(name: str) -> str:
    """The unit that a key like ``pucks_m`` or ``cart_speed_m_per_s`` ends in."""
    for unit in ("rad_per_s", "m_per_s"):
        if name.endswith(f"_{unit}"):
            return unit
    return name.rsplit("_", 1)[-1]
