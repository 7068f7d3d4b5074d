"""What a chunk of a world-action model costs: time, products, and how much each switch saves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.evaluation.round_robin import one_core, round_robin
from sdiwm_model.planning.protocols import Array
from sdiwm_model.report import distribution
from sdiwm_model.wam.checkpoint import FOLDER, WamManifest, read_wam_manifest
from sdiwm_model.wam.protocols import StepPair, WamEngine
from sdiwm_model.wam.switches import UNOPTIMISED, Switches

SYMMETRIC = StepPair(10, 10, "joint")
REFERENCE = "unoptimised"
OpenEngine = Callable[[Switches], WamEngine]


@dataclass(frozen=True)
class Seen:
    """What a robot saw in one episode: observations (T, O), the goal c (C,)."""

    observations: Array
    c: Array

    def noise(self, size: tuple[int, ...], seed: int = 0) -> Array:
        """Where chunks start from, the same for all that are compared."""
        return np.random.default_rng(seed).standard_normal(size, dtype=np.float32)


@dataclass(frozen=True)
class Variant:
    """One way to make a chunk, and what it is measured against in accuracy."""

    switches: Switches
    steps: StepPair


def open_engine(bundle: Path, switches: Switches) -> WamEngine:
    """The world-action model of ``bundle`` as robots run it, with these switches."""
    from sdiwm_model.wam.onnx_engine import OnnxWamEngine

    size = read_wam_manifest(bundle, read_manifest(bundle)).size
    return OnnxWamEngine(bundle / FOLDER, size, switches)


def standard(manifest: WamManifest) -> Switches:
    """Those that robots run it with."""
    return Switches(one_step=manifest.one_step)


def variants(manifest: WamManifest) -> dict[str, Variant]:
    """The unoptimised model, each switch alone beside it, and the switches together."""
    default, off = manifest.steps, UNOPTIMISED
    alone = {
        "windowed streaming cache": replace(off, streaming=True),
        "K/V reuse": replace(off, kv_reuse=True),
        "gates once a goal": replace(off, gate_cache=True),
        "half the future's tokens, at random": replace(off, token_drop="random"),
        "half the future's tokens, ranked": replace(off, token_drop="ranked"),
        "feature cache between steps": replace(off, feature_cache=True),
        "fp16": replace(off, precision="fp16"),
        "int8": replace(off, precision="int8"),
    }
    found = {REFERENCE: Variant(off, SYMMETRIC)}
    found |= {name: Variant(switches, SYMMETRIC) for name, switches in alone.items()}
    found["asymmetric steps"] = Variant(off, default)
    if manifest.one_step:
        found["few-step head"] = Variant(replace(off, one_step=True), default)
    both, steps = standard(manifest), default
    found |= {
        "all exact switches": Variant(both, SYMMETRIC),
        "together: exact switches, asymmetric steps": Variant(both, steps),
        "together, feature cache": Variant(replace(both, feature_cache=True), steps),
    }
    if manifest.one_step:
        steps = replace(default, action=1)
        found["together, one action step"] = Variant(both, steps)
    both = replace(both, token_drop="ranked")
    found["... and the ranked half of the future"] = Variant(both, steps)
    both = replace(both, precision="int8")
    found["... and int8"] = Variant(both, steps)
    fewest = StepPair(0, 1, "policy" if "policy" in manifest.modes else "prefill")
    found["... and the fewest steps"] = Variant(both, fewest)
    return found


def switch_costs(
    open_engine: OpenEngine, manifest: WamManifest, seen: Seen, seconds: float, seed: int
) -> dict[str, Any]:
    """Each variant's `step_ms`, the time of one observation and one chunk.

    `factor`: how many times faster than the unoptimised model in the same rounds. `away`: how far
    its chunk is from that model's, root mean square in units of the action's limit.
    """
    compared = variants(manifest)
    engines = {name: open_engine(each.switches) for name, each in compared.items()}
    chunks = {name: _last_chunk(engines[name], seen, each.steps) for name, each in compared.items()}
    calls = {name: _model_step(engines[name], seen, v.steps) for name, v in compared.items()}
    with one_core():
        times = round_robin(calls, seconds, seed)
    slowest = float(np.median(times[REFERENCE]))
    return {
        name: {
            "steps": str(each.steps),
            "switches": asdict(each.switches),
            "step_ms": distribution(times[name]),
            "factor": slowest / float(np.median(times[name])),
            "away": float(np.sqrt(np.square(chunks[name] - chunks[REFERENCE]).mean())),
        }
        for name, each in compared.items()
    }


def pair_costs(
    engine: WamEngine, pairs: Mapping[str, StepPair], seen: Seen, seconds: float, seed: int
) -> dict[str, Any]:
    """`chunk_ms` of each step pair with the same engine, one core, all in turn."""
    for o in seen.observations[: engine.size.window]:
        engine.observe(o)
    noise = seen.noise((engine.size.chunk, engine.size.action))
    calls = {
        name: (lambda steps=steps: engine.chunk(seen.c, noise, steps))
        for name, steps in pairs.items()
    }
    with one_core():
        times = round_robin(calls, seconds, seed)
    return {name: distribution(each) for name, each in times.items()}


def products(bundle: Path, seen: Seen, pairs: Iterable[StepPair]) -> dict[str, Any]:
    """`parameters`, and `macs` of one chunk of each pair, counted while torch makes it.

    Multiply-accumulates of a chunk whose observations' keys and values are there already.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from sdiwm_model.wam.checkpoint import load_wam
    from sdiwm_model.wam.torch_engine import TorchWamEngine

    model = load_wam(bundle, read_manifest(bundle))[0]
    engine = TorchWamEngine(model)
    for o in seen.observations[: engine.size.window]:
        engine.observe(o)
    noise = seen.noise((engine.size.chunk, engine.size.action))
    macs = {}
    for steps in pairs:
        with FlopCounterMode(display=False) as counter:
            engine.chunk(seen.c, noise, steps)
        macs[str(steps)] = counter.get_total_flops() // 2
    return {"parameters": sum(p.numel() for p in model.parameters()), "macs": macs}


def streaming(engine: WamEngine, seen: Seen, steps: StepPair, count: int) -> dict[str, Any]:
    """``count`` model steps in one episode: time and memory early and late, and the same chunk?

    The last chunk is compared with that of an engine that has just seen the last window alone and
    all that one layer after another can hand on to it, `depth` windows back.
    """
    size = engine.size
    noise = seen.noise((size.chunk, size.action))
    order = np.arange(count) % len(seen.observations)
    times, memory = np.empty(count), {}
    engine.begin()
    with one_core():
        for i, t in enumerate(order):
            began = time.perf_counter()
            engine.observe(seen.observations[t])
            last = engine.chunk(seen.c, noise, steps)
            times[i] = 1e3 * (time.perf_counter() - began)
            if i + 1 in (count // 10, count):
                memory[i + 1] = _resident_mb()
    engine.begin()
    for t in order[-size.depth * size.window :]:
        engine.observe(seen.observations[t])
    again = engine.chunk(seen.c, noise, steps)
    tenth = count // 10
    return {
        "steps": count,
        "first_tenth_ms": distribution(times[:tenth]),
        "last_tenth_ms": distribution(times[-tenth:]),
        "resident_mb": memory,
        "away_from_fresh": float(np.abs(last - again).max()),
    }


def _last_chunk(engine: WamEngine, seen: Seen, steps: StepPair) -> Array:
    engine.begin()
    for o in seen.observations:
        engine.observe(o)
    return engine.chunk(seen.c, seen.noise((engine.size.chunk, engine.size.action)), steps)


def _model_step(engine: WamEngine, seen: Seen, steps: StepPair) -> Callable[[], object]:
    """The next observation and a chunk, as in an episode that has lasted longer than the window."""
    noise = seen.noise((engine.size.chunk, engine.size.action))
    newest = seen.observations[-1]

    def step() -> Array:
        engine.observe(newest)
        return engine.chunk(seen.c, noise, steps)

    return step


def _resident_mb() -> float:
    """Main memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
