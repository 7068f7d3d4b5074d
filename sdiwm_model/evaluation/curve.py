"""The picture of an HRI report: similarity against T, with what needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdiwm_model.files import atomic_path

STYLES = {"shipped": ("#1b6ca8", "-"), "int8": ("#d1495b", "--"), "one_step": ("#7a7a7a", "-")}


def draw_curves(path: Path, blocks: Mapping[str, Mapping[str, Any]], steps: int, dt: float) -> None:
    """Write a PNG of HRI@T for every block, and of the first block's baselines at the last T."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    horizon = range(1, steps + 1)
    for name, block in blocks.items():
        colour, dashes = STYLES[name]
        axes.plot(
            horizon,
            block["hri"],
            color=colour,
            ls=dashes,
            lw=2,
            label=f"{name}: {block['hri'][-1]:.2f}",
        )
        low, high = block[f"hri_ci95_at_{steps}"]
        axes.vlines(steps, low, high, color=colour, lw=4, alpha=0.4)
    rivals = next(iter(blocks.values()))[f"baselines_at_{steps}"]
    label_height = -1.0
    for name, value in sorted(rivals.items(), key=lambda item: item[1]):
        label_height = max(value, label_height + 0.035)  # labels never cover each other
        axes.plot(steps * 1.02, value, "<", color="0.45", ms=5, clip_on=False)
        axes.annotate(
            name.replace("_", " "), (steps * 1.04, label_height), fontsize=7, color="0.3",
            va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set(
        xlabel=f"T, model steps of {dt * 1000:.0f} ms",
        ylabel="HRI: whitened cosine similarity",
        xlim=(0, steps * 1.02),
        ylim=(min(0.0, *rivals.values()) - 0.05, 1.02),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
