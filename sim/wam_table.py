"""What `sdiwm bench wam` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Block = Mapping[str, Any]


def print_wam(task: str, block: Block) -> None:
    """Print one task's block for a person."""
    print(
        f"sdiwm bench wam: {task}, model {block['model_hash']}, {block['models']} training seeds, "
        f"{block['parameters'] / 1e6:.2f} M parameters, {block['wam_mb']:.1f} MB"
    )
    titles = {
        "grid": ("steps, video x action", ("chunk_ms", "factor", "minus_symmetric")),
        "modes": ("mode, with the default's steps", ("chunk_ms",)),
        "switches": ("one model step", ("step_ms", "factor", "away")),
        "delays": ("a chunk comes later by, ms", ()),
        "proposals": ("planner, candidates", ("plan_in_loop_ms", "minus_many")),
    }
    for part, (title, columns) in titles.items():
        if part in block:
            print(f"  {title:<60}{'success':>22}" + "".join(f"{_HEADS[c]:>17}" for c in columns))
            for name, row in block[part].items():
                star = " *" if part == "grid" and name == block["default"] else ""
                shown = f"{name} ({row['steps']})" if part == "switches" else name + star
                cells = "".join(f"{_cell(c, row[c]):>17}" for c in columns)
                print(f"    {shown:<58}{_success(row):>22}{cells}")
    if "streaming" in block:
        _print_streaming(block["streaming"])


_HEADS = {
    "chunk_ms": "chunk p50 ms",
    "step_ms": "step p50 ms",
    "plan_in_loop_ms": "plan p50 ms",
    "factor": "times faster",
    "minus_symmetric": "- 10x10, points",
    "minus_many": "- 512, points",
    "away": "chunk differs",
}


def _cell(column: str, value: Any) -> str:
    if column.startswith("minus"):
        return f"{100 * value['mean']:+.1f}"
    if column.endswith("_ms"):
        return f"{value['p50']:.2f}"
    return f"{value:.4f}" if column == "away" else f"{value:.1f}"


def _success(row: Block) -> str:
    if "success" not in row:
        return "not judged"
    low, high = row["success"]["ci95"]
    return f"{row['success']['mean']:.1%} ({100 * low:.0f}-{100 * high:.0f})"


def _print_streaming(block: Block) -> None:
    first, last = block["first_tenth_ms"]["p50"], block["last_tenth_ms"]["p50"]
    early, late = block["resident_mb"].values()
    print(
        f"  {block['steps']} model steps in one episode: {first:.2f} ms a step at first, "
        f"{last:.2f} at last; {early:.1f} MB after a tenth, {late:.1f} at the end; the last chunk "
        f"differs by {block['away_from_fresh']:.2g} from one that only saw the end"
    )
