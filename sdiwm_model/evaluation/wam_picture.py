"""The picture of `sdiwm bench wam`: success against latency, and against delay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"0": "#7a7a7a", "1": "#1b6ca8", "2": "#2a9d8f", "10": "#d1495b"}  # by video steps
MARKERS = {"1": "o", "2": "s", "4": "^", "10": "D"}  # by action steps
OTHER_COLOUR, OTHER_MARKER = "#6a4c93", "x"


def draw_wam(path: Path, results: Mapping[str, Any]) -> None:
    """Write a PNG: a column a task; above the grid of step pairs, below injected delays.

    Bars are 95 % intervals; a part that was not measured leaves its row out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = {"grid": _draw_grid, "delays": _draw_delays}
    shown = [part for part in parts if all(part in block for block in results.values())]
    size = 4.6 * len(results) + 1.6, 3.9 * len(shown)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(shown), len(results), squeeze=False)
    for row, part in zip(rows, shown, strict=True):
        for axes, (task, block) in zip(row, results.items(), strict=True):
            parts[part](axes, block)
            axes.set_title(task)
            axes.set_ylim(-0.03, 1.03)
            axes.set_ylabel("success")
            axes.grid(alpha=0.25)
    if "grid" in shown:
        figure.legend(handles=_legend(), loc="outside right upper", fontsize=9, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _draw_grid(axes: Axes, block: Mapping[str, Any]) -> None:
    for name, cell in block["grid"].items():
        video, _, action = name.split(" ")[0].partition("x")
        x, y = cell["chunk_ms"]["p50"], cell["success"]["mean"]
        low, high = cell["success"]["ci95"]
        axes.errorbar(
            x, y, [[y - low], [high - y]], fmt=MARKERS.get(action, OTHER_MARKER),
            color=COLOURS.get(video, OTHER_COLOUR), alpha=0.8, elinewidth=0.7,
        )  # fmt: skip
        if name == block["default"]:
            axes.annotate("default", (x, y), (4, -14), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.set_xlabel("one chunk on one core, ms (median)")


def _draw_delays(axes: Axes, block: Mapping[str, Any]) -> None:
    delays = [float(ms) for ms in block["delays"]]
    rates = [each["success"] for each in block["delays"].values()]
    means = [each["mean"] for each in rates]
    below = [each["mean"] - each["ci95"][0] for each in rates]
    above = [each["ci95"][1] - each["mean"] for each in rates]
    axes.errorbar(delays, means, [below, above], fmt="o-", color="#1b6ca8", capsize=3)
    axes.set_xlabel("injected delay of every chunk, ms")


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def line(label: str, colour: str, marker: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, linestyle="", label=label)

    video = [line(f"{v} video steps", c, "o") for v, c in COLOURS.items()]
    return video + [line(f"{a} action steps", "black", m) for a, m in MARKERS.items()]
