"""A model card as Markdown, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdiwm_model.checkpoint import CARD
from sdiwm_model.export.sources import COMPILE, COMPILE_NOTE, CPP, GENERATED

if TYPE_CHECKING:
    from sdiwm_model.export.card import ModelCard

Rows = list[tuple[Any, ...]]
WIDTHS = (
    "encoder", "image_size", "channels", "keypoints", "fusion", "latent", "dynamics", "head",
    "prior",
)  # fmt: skip


def render(card: ModelCard) -> str:
    """The card as Markdown; model_card.json holds more."""
    sections = [
        f"# Model card: {card.task}, {card.model_hash}\n",
        _table(("", ""), _facts(card)),
        "## Results\n",
        _results(card),
        "## One plan\n",
        _table(("target", "ms"), [(name, _latency(t)) for name, t in card.latency_ms.items()]),
        "## Memory of a microcontroller\n",
        _table(("board", "RAM, bytes", "flash, bytes", "fits"), _memory(card)),
        "## What was done\n",
        _table(("step", "parameters", "MAC a model step", "model"), _stages(card)),
        _commands(card),
        "## Files\n",
        _table(("file", "bytes", "sha256"), _files(card)),
        _sources(card),
        "".join(f"- `{key}`: {reason}\n" for key, reason in card.notes.items()),
        f"`{CARD}` holds all of this in full, with every file's hash.\n",
    ]
    return "\n".join(section for section in sections if section)


def _facts(card: ModelCard) -> Rows:
    planner = card.planner
    plan = f"{planner['candidates']} candidates x {planner['horizon']} steps"
    if planner["iterations"] > 1:
        plan += f" x {planner['iterations']} iterations"
    widths = ", ".join(f"{name} {card.sizes[name]}" for name in WIDTHS)
    return [
        ("task", card.task),
        ("goals", ", ".join(card.goals)),
        ("model hash", f"`{card.model_hash}`"),
        ("format version", card.format_version),
        ("size", f"{card.size}: {widths}"),
        ("parameters", f"{card.parameters:,}"),
        *((f"MAC {name.replace('_', ' ')}", f"{n:,}") for name, n in card.macs.items()),
        ("model step", f"{1e3 * card.dt:.0f} ms"),
        ("plan", plan),
        ("commit", card.commit),
        ("machine", card.machine["cpu"]),
    ]


def _results(card: ModelCard) -> str:
    if card.results is None:
        return f"Not measured: {card.notes['results']}.\n"
    rows: Rows = []
    for key, value in card.results.items():
        if isinstance(value, dict) and value["mean"] is not None:
            low, high = value["ci95"]
            value = f"{value['mean']:.3f} (95 %: {low:.3f} to {high:.3f}, n = {value['n']})"
        rows.append((key.replace("_", " "), value))
    return _table(("", ""), rows)


def _latency(told: dict[str, Any] | None) -> str:
    if told is None:
        return "not measured"
    if "ms_est" in told:
        if told["ms_est"] is None:
            return "unknown"
        plan, all_of_it = told["plan_ms_est"], told["ms_est"]
        return f"{plan:.2f}, from a picture to an action {all_of_it:.2f}; estimated"
    return f"{told['p50']:.3f} (p99 {told['p99']:.3f})"


def _memory(card: ModelCard) -> Rows:
    return [
        (name, "?", "?", "?")
        if told is None
        else (
            name,
            f"{told['sram_bytes']:,}",
            f"{told['flash_bytes']:,}",
            "yes" if told["fits"] else "no",
        )
        for name, told in card.memory.items()
    ]


def _stages(card: ModelCard) -> Rows:
    return [
        (
            stage["step"],
            f"{stage['parameters']:,}",
            "?" if stage["macs_per_model_step"] is None else f"{stage['macs_per_model_step']:,}",
            f"`{stage['model_hash']}`",
        )
        for stage in card.stages
    ]


def _commands(card: ModelCard) -> str:
    taught = card.provenance.get("distil", {}).get("teacher", {})
    found = {"teacher": taught, "train": card.provenance}
    found |= {step: told for step, told in card.provenance.items() if isinstance(told, dict)}
    rows: Rows = [
        (step, f"`{told['command']}`", told.get("seed", ""))
        for step, told in found.items()
        if "command" in told
    ]
    rows.append(("this bundle", f"`{card.command}`", ""))
    return _table(("made by", "command", "seed"), rows)


def _files(card: ModelCard) -> Rows:
    """The bundle's own; of the C++ what was generated."""
    return [
        (name, f"{told['bytes']:,}", f"`{told['sha256'][:16]}…`")
        for name, told in card.files.items()
        if not name.startswith(f"{CPP}/") or name.startswith(f"{CPP}/{GENERATED}/")
    ]


def _sources(card: ModelCard) -> str:
    if not any(name.startswith(f"{CPP}/") for name in card.files):
        return ""
    return f"C++: `{COMPILE}`, {COMPILE_NOTE}.\n"


def _table(head: tuple[str, ...], rows: Rows) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)
