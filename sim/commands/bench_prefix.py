"""Whether all latents of a plan in one pass beat a rollout step by step: time, error, success."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sdiwm_model.evaluation.imagination import Encoded
    from sdiwm_model.evaluation.prefix import Rollout
    from sdiwm_model.planning.protocols import Dynamics
    from sdiwm_model.prefix_dynamics import PrefixDynamics
    from sdiwm_model.runtime.onnx import OnnxRuntime
    from sdiwm_model.world_model import WorldModel
    from sdiwm_sim.task import Task

HELP = "parallel action-prefix prediction against rollouts step by step, at 32 and 512 candidates"
CANDIDATES = (32, 512)
STRIDE = 7  # model steps between the held-out windows that errors are measured on
WAYS = {
    "onnx": "step by step, one call a step",
    "onnx_one_graph": "step by step, unrolled into one graph: the same numbers",
    "onnx_sweeps": "all steps at once, as many sweeps as make them exact to 1 %",
    "onnx_prefix": "prefixes, one pass",
    "native": "step by step, int8, generated C++",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task told in words")
    parser.add_argument("--model", type=Path, metavar="DIR", help="another bundle")
    parser.add_argument("--steps", type=int, default=4000, metavar="N", help="updates of the head")
    parser.add_argument("--episodes", type=int, default=30, metavar="N", help="for each seed")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="time spent on each latency"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Distil, then measure; one block for the task."""
    import tempfile

    from sdiwm_model.checkpoint import load_model
    from sdiwm_model.evaluation.prefix import OneGraphDynamics, sequential, sweeps, write_rollout
    from sdiwm_model.runtime.onnx import OnnxRuntime
    from sdiwm_model.shipped import bundle_folder
    from sdiwm_sim.task import make_task

    task = make_task(args.task)
    folder = bundle_folder(args.model, args.task)
    model, manifest = load_model(folder)
    horizon = manifest.planner.horizon
    runtime = OnnxRuntime(folder)
    prefix, block = _distilled(args, folder, runtime, model)
    needed = _sweeps_for_one_percent(block["errors"])
    rollouts: dict[str, Rollout] = {
        "onnx_one_graph": sequential(model),
        "onnx_sweeps": sweeps(model, needed),
        "onnx_prefix": prefix,
    }
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as written:
        ways: dict[str, Dynamics] = {"onnx": runtime.dynamics}
        for name, rollout in rollouts.items():
            graph = Path(written) / f"{name}.onnx"
            write_rollout(graph, model, rollout, horizon)
            ways[name] = OneGraphDynamics(folder, model, graph)
    block["sweeps"] = needed
    block["rollout_ms"] = _latencies(args, folder, ways, horizon)
    block["success"] = {
        name: _success(args, task, runtime, ways[name])
        for name in ("onnx_one_graph", "onnx_prefix")
    }
    steps = horizon * manifest.sizes.macs_per_model_step
    heads = horizon * manifest.sizes.head * (manifest.sizes.latent + 1)
    block["macs_per_candidate"] = {"gru": steps, "prefix": prefix.macs + heads}
    return {args.task: block | {"model_hash": manifest.model_hash}}


def _distilled(
    args: argparse.Namespace, folder: Path, runtime: OnnxRuntime, model: WorldModel
) -> tuple[PrefixDynamics, dict[str, Any]]:
    """The head, trained on the recordings of `sdiwm bench horizon`, and its errors on others."""
    import time

    import torch
    from tqdm import tqdm

    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation import prefix as judged
    from sdiwm_model.evaluation.imagination import encode
    from sdiwm_model.evaluation.recordings import heldout_folder, statistics_folder
    from sdiwm_model.language import goal_codes
    from sdiwm_model.training.prefix import distil_prefix

    about = args.task, folder, runtime.manifest.model_hash, 100
    torch.set_num_threads(1)
    settings = runtime.manifest.planner
    training, heldout = (
        encode(runtime, ShardReader(each).episodes())
        for each in (statistics_folder(*about), heldout_folder(*about, args.seeds[0]))
    )
    codes = goal_codes(model.size.goals, model.size.conditioning)
    z, actions, _ = _windows(training, settings.horizon, 1)
    began = time.perf_counter()
    with tqdm(total=args.steps, desc="prefix", unit="update", disable=None) as bar:
        prefix = distil_prefix(
            model, z, actions, codes, settings, args.seeds[0], args.steps,
            lambda step, loss: bar.update() and None,
        )  # fmt: skip
    taken = time.perf_counter() - began
    z, actions, real = _windows(heldout, settings.horizon, STRIDE)
    c = codes[torch.arange(len(z)) % len(codes)]
    return prefix, {
        "updates": args.steps,
        "distilled_in_s": taken,
        "errors": judged.errors(model, prefix, z, actions, c, real),
    }


def _windows(encoded: Encoded, horizon: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Starts z (N, Z), what was done (N, H, A), what was seen (N, H, Z)."""
    import numpy as np
    import torch

    from sdiwm_model.evaluation.imagination import windows

    first = np.arange(0, encoded.latents.shape[1] - horizon, stride)
    fields = (
        windows(encoded.latents, first, 1)[:, :, 0],
        windows(encoded.actions, first, horizon),
        windows(encoded.latents, first + 1, horizon),
    )
    z, actions, real = (torch.from_numpy(f.reshape(-1, *f.shape[2:])) for f in fields)
    return z, actions, real


def _sweeps_for_one_percent(errors: dict[str, Any]) -> int:
    """The fewest measured sweeps whose last latent is off by 1 % of how far latents move."""
    moved = list(errors["persistence_to_real"].values())[-1]
    sweeps = errors["sweeps_to_gru"]
    return min((int(n) for n in sweeps if sweeps[n] < 0.01 * moved), default=max(map(int, sweeps)))


def _latencies(
    args: argparse.Namespace, folder: Path, ways: dict[str, Dynamics], horizon: int
) -> dict[str, Any]:
    """Costs of N candidates, one pinned core, all ways in turn."""
    import numpy as np

    from sdiwm_model.evaluation.round_robin import one_core, round_robin
    from sdiwm_model.report import distribution
    from sdiwm_model.runtime.load import load_runtime

    runtime = load_runtime(folder, "native")
    native: Any = runtime.dynamics  # type: ignore[attr-defined]
    sizes = runtime.manifest.sizes
    rng = np.random.default_rng(args.seeds[0])
    z = np.tanh(rng.standard_normal(sizes.latent)).astype(np.float32)
    c = np.zeros(sizes.conditioning, np.float32)
    c[0] = 1.0
    found: dict[str, Any] = {}
    with one_core():
        for count in CANDIDATES:
            actions = rng.uniform(-1, 1, (count, horizon, sizes.action)).astype(np.float32)
            calls: dict[str, Callable[[], object]] = {
                name: (lambda way=way, moves=actions: way.rollout_cost(z, moves, c))  # type: ignore[misc]
                for name, way in (ways | {"native": native}).items()
            }
            times = round_robin(calls, args.seconds, args.seeds[0])
            found[str(count)] = {name: distribution(each) for name, each in times.items()}
    return found


def _success(
    args: argparse.Namespace, task: Task, runtime: OnnxRuntime, dynamics: Dynamics
) -> dict[str, Any]:
    """Closed loop at each number of candidates, with plans made on ``dynamics``."""
    from dataclasses import replace

    from sdiwm_sim.closed_loop import ModelController
    from sdiwm_sim.trials import counts, draw_trials, run_trials

    runtime.dynamics = dynamics
    trials = draw_trials(task, args.seeds, args.episodes, "train")
    found = {}
    for count in CANDIDATES:
        settings = replace(runtime.manifest.planner, candidates=count)
        results = run_trials(task, ModelController(runtime, settings), trials)
        found[str(count)] = counts(results)["success"]
    return found


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, block in results.items():
        print(f"sdiwm bench prefix: {task}, model {block['model_hash']}")
        steps = list(block["errors"]["gru_to_real"])
        print(f"  error of the latent after step{'':9}" + "".join(f"{k:>9}" for k in steps))
        for name in ("prefix_to_gru", "gru_to_real", "prefix_to_real", "persistence_to_real"):
            row = block["errors"][name].values()
            print(f"    {name:<36}" + "".join(f"{value:9.4f}" for value in row))
        swept = ", ".join(f"{n}: {e:.4f}" for n, e in block["errors"]["sweeps_to_gru"].items())
        print(f"  error of the last latent after sweeps  {swept}")
        for count, times in block["rollout_ms"].items():
            print(f"  {count} candidates, ms p50 (factor to 'onnx')")
            for name, spread in times.items():
                factor = times["onnx"]["p50"] / spread["p50"]
                print(f"    {name:<16} {spread['p50']:8.3f} {factor:7.1f} x   {WAYS[name]}")
        for name, rates in block["success"].items():
            shown = ", ".join(f"{count}: {rate['mean']:.1%}" for count, rate in rates.items())
            print(f"  success with {name:<16} {shown}")
