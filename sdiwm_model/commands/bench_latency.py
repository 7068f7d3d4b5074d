"""How long one plan takes on one core, on each back end, and how far that is from its limit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from sdiwm_model.planning.protocols import PlannerSettings
    from sdiwm_model.runtime.native import NativeEngine
    from sdiwm_model.runtime.protocols import Runtime

HELP = "time of one plan on one core: every back end, in microseconds and against the machine"
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "reach"
BACKENDS = ("native", "onnx", "torch")
FIXED_SIZES = ((64, 12), (512, 16))  # candidates, steps
WARM_UP = 5
LEAST_CALLS = 20
PEAK_TRIALS = 20
PEAK_LOOPS = 500_000
NOTES = {
    "plan_us": "one Planner.plan call in Python, warm start given, one pinned core, after warm-up",
    "rollout_us": "model steps and heads for given candidates; native: from int8 actions, as the "
    "planner itself calls it; onnx and torch: Dynamics.rollout_cost from float32 actions",
    "macs": "multiply-accumulates of the model and its heads in one plan",
    "gmac_per_s": "macs over the median of plan_us: noise, softmax and Python count as lost time",
    "fraction_of_peak": "gmac_per_s over peak_gmac_per_s of the same back end",
    "peak_gmac_per_s": "best of 20 runs of a loop of independent multiply-adds in registers, built "
    "with the engine and run just before: integer ones for native, single precision for the others",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bundle, the back ends and the time spent on each figure."""
    parser.add_argument("--model", type=Path, default=SHIPPED, metavar="DIR", help="model bundle")
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS), help="what to measure"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="time spent on each figure"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the report's results; the process is pinned to one core meanwhile."""
    from sdiwm_model.evaluation.round_robin import one_core

    with one_core():
        return _measure(args)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import replace

    from sdiwm_model.checkpoint import read_manifest
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.runtime.native import NativeEngine

    manifest = read_manifest(args.model)
    engine = NativeEngine.load(args.model)
    shipped = (manifest.planner.candidates, manifest.planner.horizon)
    results: dict[str, Any] = {}
    for backend in args.backends:
        peak = _peak(engine, backend)
        block: dict[str, Any] = {
            "isa": engine.library.isa if backend == "native" else None,
            "peak_gmac_per_s": peak,
        }
        runtime = load_runtime(args.model, backend)
        for candidates, horizon in sorted({*FIXED_SIZES, shipped}):
            settings = replace(
                manifest.planner, candidates=candidates, horizon=horizon, iterations=1
            )
            figures = _one_size(runtime, engine, settings, args.seeds[0], args.seconds)
            rate = figures["macs"] / (1e3 * figures["plan_us"]["p50"])
            figures |= {"gmac_per_s": rate, "fraction_of_peak": rate / peak if peak else None}
            block[f"{candidates}x{horizon}"] = figures
        results[backend] = block
    results["shipped_size"] = f"{shipped[0]}x{shipped[1]}"
    results["model_hash"] = manifest.model_hash
    results["notes"] = dict(NOTES)
    return results


def _peak(engine: NativeEngine, backend: str) -> float | None:
    """GMAC/s of the engine's own loop; None where this machine has no such loop."""
    import time

    library = engine.library
    loop = library.peak if backend == "native" else library.single_precision_peak
    best = 0.0
    for _ in range(PEAK_TRIALS):
        began = time.perf_counter()
        macs = loop(PEAK_LOOPS)
        best = max(best, macs / (time.perf_counter() - began) / 1e9)
    return best or None


def _one_size(
    runtime: Runtime, engine: NativeEngine, settings: PlannerSettings, seed: int, seconds: float
) -> dict[str, Any]:
    """plan_us, rollout_us and macs of one plan size."""
    import numpy as np

    from sdiwm_model.report import distribution

    sizes = runtime.manifest.sizes
    rng = np.random.default_rng(seed)
    z = np.tanh(rng.standard_normal(sizes.latent)).astype(np.float32)
    c = rng.uniform(-1, 1, sizes.conditioning).astype(np.float32)
    shape = (settings.candidates, settings.horizon, sizes.action)
    actions = rng.uniform(-1, 1, shape).astype(np.float32)
    planner = runtime.make_planner(settings, seed)
    warm_start = planner.plan(z, c, None).actions
    if runtime.backend == "native":
        roll = _native_rollout(engine, settings, z, actions, c)
    else:
        dynamics: Any = runtime.dynamics  # type: ignore[attr-defined]
        roll = lambda: dynamics.rollout_cost(z, actions, c, settings.value_weight)  # noqa: E731
    steps = settings.horizon * sizes.macs_per_model_step
    return {
        "plan_us": distribution(_times(lambda: planner.plan(z, c, warm_start), seconds)),
        "rollout_us": distribution(_times(roll, seconds)),
        "macs": settings.candidates * (steps + engine.model.macs_of_value),
    }


def _native_rollout(
    engine: NativeEngine,
    settings: PlannerSettings,
    z: NDArray[np.float32],
    actions: NDArray[np.float32],
    c: NDArray[np.float32],
) -> Callable[[], object]:
    """A call of the engine with everything already in integers."""
    import ctypes

    import numpy as np

    from sdiwm_model.compression.fixed_point import actions_to_int8, latent_to_q15
    from sdiwm_model.compression.integer_planner import planner_integers
    from sdiwm_model.compression.quantised_model import make_goal
    from sdiwm_model.runtime.native import aligned_bytes

    goal = make_goal(engine.model, c).to_bytes()
    integers = planner_integers(engine.model, settings, 0)
    state, moves = latent_to_q15(z), np.ascontiguousarray(actions_to_int8(actions))
    costs = np.empty(len(moves), np.int32)
    work = aligned_bytes(engine.library.workspace_bytes())
    call = engine.library.rollout_cost
    arguments = (
        goal, ctypes.addressof(integers), state.ctypes.data, moves.ctypes.data,
        len(moves), costs.ctypes.data, work.ctypes.data,
    )  # fmt: skip
    kept = (integers, state, moves, costs, work)  # what the addresses point to
    return lambda: (call(*arguments), kept)


def _times(call: Callable[[], object], seconds: float) -> list[float]:
    """Microseconds of each call, for about `seconds` and at least `LEAST_CALLS` calls."""
    import time

    for _ in range(WARM_UP):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - began))
    return times


def print_table(results: dict[str, Any]) -> None:
    """Print one line for each back end and size."""
    print(f"{'back end':10} {'size':>8} {'plan p50':>10} {'p99':>9} {'rollout p50':>12}", end="")
    print(f" {'GMAC/s':>8} {'of peak':>8}   (times in us)")
    for backend in (name for name in BACKENDS if name in results):
        for size, figures in results[backend].items():
            if isinstance(figures, dict):
                print(_line(backend, size, figures))
    for backend in (name for name in BACKENDS if name in results):
        peak = results[backend]["peak_gmac_per_s"]
        if peak is not None:
            isa = results[backend]["isa"] or "single precision"
            print(f"peak of {backend}: {peak:.0f} GMAC/s ({isa}, measured)")


def _line(backend: str, size: str, figures: dict[str, Any]) -> str:
    share = figures["fraction_of_peak"]
    plan, rollout = figures["plan_us"], figures["rollout_us"]
    return (
        f"{backend:10} {size:>8} {plan['p50']:10.1f} {plan['p99']:9.1f} {rollout['p50']:12.1f} "
        f"{figures['gmac_per_s']:8.1f} " + ("     ?" if share is None else f"{share:8.1%}")
    )
