"""Pictures of what compression trades: time and size against success and HRI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1b6ca8", "#d1495b", "#2a9d8f", "#b5651d", "#6a4c93", "#7a7a7a", "#8ab17d")
PRUNED = {
    "structured": "units removed, what they told refilled",
    "unstructured": "the smallest weights masked",
}
Points = dict[str, tuple[float, Mapping[str, Any]]]  # of a stage: across, and {mean, ci95} upwards


def draw_tradeoffs(path: Path, results: Mapping[str, Any], task: str) -> None:
    """Write a PNG: latency x success (return where the task has one), latency x HRI, size x HRI.

    Points are numbered as in the legend. Latencies and sizes are of each stage's own back end;
    bars are 95 % intervals.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages, steps = results["stages"], results["horizon"]
    hri = f"hri_at_{steps}"
    score = "return" if "return" in next(iter(stages.values())) else "success"
    panels = [("ms", score), ("ms", hri), ("KB", hri)]
    if not all(score in block for block in stages.values()):
        panels = panels[1:]
    figure = Figure(figsize=(4.8 * len(panels) + 2.6, 4.4), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (across, upwards) in zip(all_axes, panels, strict=True):
        _draw(axes, points_of(stages, across, upwards))
        axes.set_xlabel("one plan, ms (median)" if across == "ms" else "what it loads, KB")
        axes.set_ylabel(upwards if upwards == score else f"HRI at T = {steps}")
        if upwards == score:
            _draw_oracle(axes, results, score)
    figure.legend(
        handles=all_axes[0].get_lines()[1 : 2 * len(stages) : 2],
        labels=[f"{i} {_named(*each)}" for i, each in enumerate(stages.items(), 1)],
        loc="outside right upper", fontsize=9, labelspacing=1.1, frameon=False,
    )  # fmt: skip
    figure.suptitle(f"Task {task}: stages of compression, one core, all timed in the same run")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def draw_pruning(path: Path, curve: Mapping[str, Any], task: str, steps: int) -> None:
    """Write a PNG of `pruning_curve`: HRI, ranking and time of a plan against the ratio."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = {
        "hri": f"HRI at T = {steps}",
        "cost_rank_correlation": "rank correlation with full's costs",
        "plan_ms": "one plan in torch, ms (median)",
    }
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, 3), labels.items(), strict=True):
        for (way, name), colour in zip(PRUNED.items(), COLOURS, strict=False):
            values = curve[way][key]
            shown = [v["p50"] if isinstance(v, dict) else v for v in values]
            axes.plot(curve["ratios"], shown, "o-", color=colour, label=name)
        axes.set_xlabel("share removed")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
    axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(f"Task {task}: the full model pruned at once, before any training")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def points_of(stages: Mapping[str, Any], across: str, upwards: str) -> Points:
    """Each stage's median latency ("ms") or its bytes in thousands ("KB"), with a figure of it."""
    latency = across == "ms"
    return {
        name: (_latency(block) if latency else _kilobytes(block), block[upwards])
        for name, block in stages.items()
    }


def _latency(block: Mapping[str, Any]) -> float:
    return float(block["latency_ms"][block["backend"]]["p50"])


def _kilobytes(block: Mapping[str, Any]) -> float:
    return float(block["bytes"][block["backend"]]) / 1e3


def _named(name: str, block: Mapping[str, Any]) -> str:
    shown = f"{_short(_latency(block))} ms, {_short(_kilobytes(block))} KB"
    return f"{name}\n{block['backend']}: {shown}"


def _draw(axes: Axes, points: Points) -> None:
    """Numbered points with bars of 95 %, in the order of the stages."""
    for number, (x, figure) in enumerate(points.values(), 1):
        colour = COLOURS[(number - 1) % len(COLOURS)]
        axes.plot([x, x], figure["ci95"], color=colour, lw=2, alpha=0.45)
        axes.plot([x], [figure["mean"]], "o", color=colour, ms=13, zorder=3)
        axes.annotate(
            str(number), (x, figure["mean"]), color="white", size=8, weight="bold", ha="center",
            va="center", zorder=4,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.grid(alpha=0.25, which="both")
    axes.margins(x=0.1, y=0.1)


def _draw_oracle(axes: Axes, results: Mapping[str, Any], score: str) -> None:
    oracle = results[f"oracle_{score}"]["mean"]
    axes.axhline(oracle, color="black", lw=1, ls=":")
    axes.annotate(
        f"oracle {oracle:.3g}", (0.5, oracle), xycoords=("axes fraction", "data"), size=8,
        ha="center", va="bottom",
    )  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
