"""The table that ends a demo or a bench of the ROS graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def print_figures(title: str, results: Mapping[str, Any]) -> None:
    """Print the results of `sdiwm_ros.evaluation.figures`, null as a dash."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in rows(results):
        table.add_row(name, value)
    Console().print(table)


def rows(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as text, in the order they are printed."""
    table = [
        ("success", _rate(results["success"])),
        ("held another target", _rate(results["wrong_target"])),
    ]
    if "lockstep_success" in results:
        table.append(
            ("success of the same episodes in lockstep", _rate(results["lockstep_success"]))
        )
    table += [
        ("real-time factor", _number(results["real_time_factor"], "", 4)),
        ("setpoint rate", _number(results["setpoint_hz"], " Hz", 1)),
        ("replan rate", _number(results["replan_hz"], " Hz", 1)),
        ("observation → action p50 / p99 / p99.9", _spread(results["obs_to_action_ms"])),
        ("one plan p50 / p99 / p99.9", _spread(results["plan_ms"])),
        *_chunk_rows(results),
        ("period jitter p50 / p99 / p99.9", _spread(results["period_jitter_ms"])),
        *_host_rows(results),
        ("overruns / fallbacks", f"{results['overruns']} / {results['fallbacks']}"),
    ]
    if "instruction_to_action_ms" in results:
        spread = results["instruction_to_action_ms"]
        reaction = f"{_number(spread['p50'], '', 0)} / {_number(spread['max'], ' ms', 0)}"
        table.append(("new instruction → first command p50 / max", reaction))
    if "model_bytes" in results:
        table.append(("model", f"{results['model_bytes'] / 1024:.0f} KiB, {results['model_hash']}"))
    table.append(("scheduling", str(results["scheduling"])))
    return table


def _chunk_rows(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "chunk_ms" not in results:
        return []
    return [
        ("chunk rate", _number(results["chunk_hz"], " Hz", 1)),
        ("one chunk p50 / p99 / p99.9", _spread(results["chunk_ms"])),
        ("a chunk's observation is older by p50 / p99 / p99.9", _spread(results["chunk_age_ms"])),
    ]


def _host_rows(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "host_timer_jitter_ms" not in results:
        return []
    grown = ", ".join(f"{node} {v:+.2f}" for node, v in results["rss_mb_per_min"].items())
    return [
        ("a bare loop's jitter on this host", _spread(results["host_timer_jitter_ms"])),
        ("memory growth, MB/min", grown),
    ]


def _rate(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "–"
    low, high = value["ci95"]
    return f"{value['mean']:.1%} of {value['n']} (95 %: {low:.1%} – {high:.1%})"


def _spread(value: Mapping[str, Any]) -> str:
    shares = [_number(value[key], "", 2) for key in ("p50", "p99", "p999")]
    return " / ".join(shares) + " ms"


def _number(value: float | None, unit: str, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}"
