"""Figures of a recorded run: rates, latencies, success. ROS-free; keys as in the bench report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.report import distribution, rate
from sdiwm_ros.host import HostRecord, read_host
from sdiwm_ros.recording import EpisodeRecord, LoadedRun, load_run
from sdiwm_ros.signals import CommandKind

PLANNER_FILE = "planner.json"


@dataclass(frozen=True)
class Measured:
    """A run cut to the first `seconds` of its wall time (all of it where that is 0)."""

    run: LoadedRun
    planner: dict[str, Any]
    tick_ns: NDArray[np.int64]
    commands: NDArray[np.int64]
    episodes: list[EpisodeRecord]
    host: HostRecord | None

    @property
    def wall_s(self) -> float:
        """Wall time of the ticks, the first tick's own period included."""
        period = self.run.header["physics_dt"]
        return float(self.tick_ns[-1] - self.tick_ns[0]) * 1e-9 + period

    @property
    def simulated_s(self) -> float:
        return len(self.tick_ns) * float(self.run.header["physics_dt"])


def read_measured(folder: Path, seconds: float = 0.0) -> Measured:
    """Read the records that simulator and planner left in `folder`.

    Raises:
        SdiwmError: a record is missing or damaged.
    """
    run = load_run(folder)
    planner = json.loads((folder / PLANNER_FILE).read_text())
    end = run.tick_ns[0] + int(seconds * 1e9) if seconds else run.tick_ns[-1]
    ticks = run.tick_ns[run.tick_ns <= end]
    within = (run.commands[:, 0] >= ticks[0]) & (run.commands[:, 0] <= ticks[-1])
    episodes = [
        episode
        for episode in run.episodes
        if episode.complete
        and not episode.changes
        and episode.first_tick + episode.ticks <= len(ticks)
    ]
    host = read_host(folder)
    if host is not None:
        during = (host.timer_ns >= ticks[0]) & (host.timer_ns <= ticks[-1])
        host = replace(host, timer_ns=host.timer_ns[during])
    return Measured(run, planner, ticks, run.commands[within], episodes, host)


def figures(runs: Sequence[Measured]) -> dict[str, Any]:
    """The results of one or more runs, pooled."""
    wall = sum(run.wall_s for run in runs)
    plans = [of_kind(run.commands, CommandKind.PLAN) for run in runs]
    sent = [run.commands[np.isin(run.commands[:, 2], PLANNED)] for run in runs]
    fresh = sum(len(np.unique(plan[:, 1])) for plan in plans)
    ticks = sum(len(run.tick_ns) for run in runs)
    ended = [episode for run in runs for episode in run.episodes]
    judged = [episode for episode in ended if episode.success is not None]
    period = runs[0].run.header["physics_dt"]
    chunks = chunk_figures(runs)
    follows_chunks = runs[0].planner["backend"] == "wam"  # then only a chunk is a new plan
    return chunks | {
        "real_time_factor": sum(run.simulated_s for run in runs) / wall,
        "setpoint_hz": sum(len(commands) for commands in sent) / wall,
        "replan_hz": chunks["chunk_hz"] if follows_chunks else fresh / wall,
        "obs_to_action_ms": distribution(np.concatenate([_latency(plan) for plan in plans])),
        "period_jitter_ms": distribution(
            np.concatenate([_jitter(commands, period) for commands in sent])
        ),
        "overruns": sum(r.planner["overruns"] + r.run.header["tick_overruns"] for r in runs),
        "fallbacks": sum(len(of_kind(run.commands, CommandKind.FALLBACK)) for run in runs),
        "success": rate(sum(bool(e.success) for e in judged), len(judged)),
        "wrong_target": rate(sum(e.wrong_target for e in judged), len(judged)),
        "passed_over_wrong": rate(sum(e.passed_over_wrong for e in judged), len(judged)),
        "plan_ms": distribution(np.concatenate([run.planner["plan_ms"] for run in runs])),
        "tick_overruns": sum(run.run.header["tick_overruns"] for run in runs),
        "plan_overruns": sum(run.planner["overruns"] for run in runs),
        "unanswered_observations": ticks - fresh,
        "command_timeouts": sum(run.run.header["command_timeouts"] for run in runs),
        "scheduling": runs[0].planner["scheduling"],
        "model_hash": runs[0].planner["model_hash"],
    }


def chunk_figures(runs: Sequence[Measured]) -> dict[str, Any]:
    """Of runs with a world-action model: its chunks, and how old what they were made from is."""
    if "chunk_ms" not in runs[0].planner:
        return {}
    pooled = {
        name: distribution(np.concatenate([run.planner[name] for run in runs]))
        for name in ("chunk_ms", "chunk_age_ms")
    }
    return pooled | {"chunk_hz": float(np.mean([run.planner["chunk_hz"] for run in runs]))}


def host_figures(runs: Sequence[Measured]) -> dict[str, Any]:
    """What the host did during runs of `run_trial`; of memory, the worst of the runs.

    Empty where they were over before anybody looked.
    """
    hosts = [run.host for run in runs if run.host is not None]
    if not hosts:
        return {}
    period = 1000 * float(runs[0].run.header["physics_dt"])
    jitter = [np.abs(np.diff(host.timer_ns) * 1e-6 - period) for host in hosts]
    slopes = [host.slopes_mb_per_min() for host in hosts]
    return {
        "host_timer_jitter_ms": distribution(np.concatenate(jitter)),
        "rss_mb_per_min": {name: max(slope[name] for slope in slopes) for name in hosts[0].nodes},
        "rss_mb": {
            name: max(float(host.memory[-1, i]) / 1e6 for host in hosts)
            for i, name in enumerate(hosts[0].nodes)
        },
    }


def of_kind(commands: NDArray[np.int64], kind: CommandKind) -> NDArray[np.int64]:
    """The commands (N, 4) of one kind."""
    return commands[commands[:, 2] == _index(kind)]


def reaction_ms(run: LoadedRun, published_ns: Sequence[int]) -> list[float]:
    """For each instruction published at these times: ms until the first command planned for it."""
    plans = run.of_kind(CommandKind.PLAN)
    reactions = []
    for published in published_ns:
        before = plans[plans[:, 0] <= published]
        number = before[-1, 3] if len(before) else 0
        later = plans[(plans[:, 0] > published) & (plans[:, 3] > number)]
        if len(later):
            reactions.append(float(later[0, 0] - published) * 1e-6)
    return reactions


def _latency(plans: NDArray[np.int64]) -> NDArray[np.floating]:
    return (plans[:, 0] - plans[:, 1]) * 1e-6


def _jitter(commands: NDArray[np.int64], period: float) -> NDArray[np.floating]:
    intervals = np.diff(commands[:, 0]) * 1e-6
    return np.abs(intervals - 1000 * period)


def _index(kind: CommandKind) -> int:
    return tuple(CommandKind).index(kind)


PLANNED = [_index(CommandKind.PLAN), _index(CommandKind.FALLBACK)]
