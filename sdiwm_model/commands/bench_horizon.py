"""How far a model's imagination can be trusted: the Horizon Reliability Index, and what it needs.

Without --train-data and --data the episodes are recorded first, by `sdiwm collect`, and cached.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    import numpy as np

    from sdiwm_model.evaluation.assessment import Study
    from sdiwm_model.runtime.protocols import Runtime

HELP = "prediction horizon: HRI beside baselines, retrieval, probe error, Lipschitz bound"
SPARE_STEPS = 50  # an episode is this much longer than the horizon, for rollouts to start apart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="another bundle")
    parser.add_argument(
        "--one-step", type=Path, metavar="BUNDLE",
        help="same data and size trained without drift loss, to compare with",
    )  # fmt: skip
    parser.add_argument("--horizon", type=int, default=100, metavar="T", help="model steps")
    parser.add_argument(
        "--train-data", type=Path, metavar="DIR", help="training episodes, for the statistics"
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR", help="held-out episodes, a folder a seed"
    )
    parser.add_argument(
        "--episodes", type=int, default=60, metavar="N", help="held-out, recorded for each seed"
    )
    parser.add_argument(
        "--statistics-episodes", type=int, default=100, metavar="N",
        help="recorded for the statistics",
    )  # fmt: skip
    parser.add_argument(
        "--success-episodes", type=int, default=10, metavar="N",
        help="closed-loop episodes for each seed, 0 for none",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for each model, null with a reason where there is none."""
    if args.horizon < 1 or args.episodes < 2 or args.statistics_episodes < 2:
        raise SdiwmError("--horizon must be 1 or more, the numbers of episodes 2 or more")
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    bundle = bundle_folder(args.model, args.task)
    runtime = load_runtime(bundle, "onnx")
    training, heldout = _folders(args, bundle, runtime)
    study = _study(args, runtime, training, heldout)
    notes: dict[str, str] = {}
    shipped = _block(args, runtime, study, bundle, notes, "shipped")
    shipped[f"ceiling_at_{args.horizon}"] = _ceiling(args, runtime, study, heldout, shipped)
    results: dict[str, Any] = {"shipped": shipped, "int8": None, "one_step": None}
    try:
        native = load_runtime(bundle, "native")
    except SdiwmError as error:
        notes["int8"] = str(error)
    else:
        results["int8"] = _block(args, native, study, bundle, notes, "int8")
        results["int8"][f"ceiling_at_{args.horizon}"] = shipped[f"ceiling_at_{args.horizon}"]
    if args.one_step is None:
        notes["one_step"] = "not measured: name a bundle trained without drift loss by --one-step"
    else:
        other = load_runtime(args.one_step, "onnx")
        own_study = _study(args, other, training, heldout)
        results["one_step"] = _block(args, other, own_study, args.one_step, notes, "one_step")
    if args.json is not None:
        _draw(args, results, study)
    return results | {"notes": notes}


def _folders(args: argparse.Namespace, bundle: Path, runtime: "Runtime") -> tuple[Path, list[Path]]:
    """The folder for the statistics, and one of held-out episodes for each seed."""
    from sdiwm_model.evaluation.recordings import (
        HELDOUT_SEED,
        MIXTURE,
        STATISTICS_SEED,
        Recording,
        record,
    )

    def recorded(seed: int, episodes: int) -> Path:
        steps = args.horizon + SPARE_STEPS
        model_hash = runtime.manifest.model_hash
        return record(Recording(args.task, seed, episodes, steps, MIXTURE, str(bundle), model_hash))

    training = args.train_data or recorded(STATISTICS_SEED, args.statistics_episodes)
    heldout = args.data or [recorded(HELDOUT_SEED + seed, args.episodes) for seed in args.seeds]
    if len(heldout) != len(args.seeds):
        raise SdiwmError(f"--data names {len(heldout)} folders for {len(args.seeds)} --seeds")
    return training, heldout


def _study(
    args: argparse.Namespace, runtime: "Runtime", training: Path, heldout: list[Path]
) -> "Study":
    """All episodes in the latents of this runtime's encoder."""
    import numpy as np
    from tqdm import tqdm

    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.assessment import Study
    from sdiwm_model.evaluation.imagination import encode

    readers = [ShardReader(training), ShardReader(heldout)]
    total = sum(map(len, readers))
    with tqdm(total=total, desc="encode", unit="episode", disable=None) as bar:
        seen, unseen = (encode(runtime, reader.episodes(), bar.update) for reader in readers)
    sizes = [len(ShardReader(folder)) for folder in heldout]
    groups = np.repeat(np.arange(len(heldout)), sizes)
    return Study(seen, unseen, args.horizon, args.seeds, groups, readers[1].task)


def _block(
    args: argparse.Namespace,
    runtime: "Runtime",
    study: "Study",
    bundle: Path,
    notes: dict[str, str],
    name: str,
) -> dict[str, Any]:
    from sdiwm_model.evaluation.assessment import assess

    block = assess(runtime, study)
    block |= _lipschitz(_dynamics(bundle, name == "int8"), study)
    block["success"] = None
    if args.success_episodes:
        block["success"] = _success(args, bundle, runtime.backend)
    else:
        notes[f"{name}.success"] = "not measured: --success-episodes 0"
    return block


def _dynamics(bundle: Path, quantised: bool) -> "dict[str, np.ndarray]":
    """Weights of the dynamics as floats, for `quantised` those that the int8 engine holds."""
    if quantised:
        from sdiwm_model.compression.quantised_model import load_engine
        from sdiwm_model.evaluation.dequantise import dequantised_dynamics

        return dequantised_dynamics(load_engine(bundle / "engine.safetensors"))
    from safetensors.numpy import load_file

    from sdiwm_model.checkpoint import WEIGHTS

    return load_file(bundle / WEIGHTS)


def _lipschitz(weights: "dict[str, np.ndarray]", study: "Study") -> dict[str, Any]:
    """The certified bound, and what the Jacobian is at the recorded latents."""
    import numpy as np

    from sdiwm_model.evaluation.lipschitz import certified_bound, infinity_norm, jacobian
    from sdiwm_model.report import distribution

    latents, actions = study.heldout.latents, study.heldout.actions
    width = weights["dynamics.input.weight"].shape[1] - latents.shape[-1] - actions.shape[-1]
    rng = np.random.default_rng(study.seeds[0])
    norms = [
        infinity_norm(jacobian(weights, latents[e, t], actions[e, t], rng.uniform(-1, 1, width)))
        for e, t in zip(*_some(rng, latents.shape[:2]), strict=True)
    ]
    return {
        "lipschitz_certified": certified_bound(weights),
        "lipschitz_observed": distribution(norms),
    }


def _some(rng: "np.random.Generator", shape: tuple[int, ...]) -> "tuple[np.ndarray, ...]":
    return tuple(rng.integers(size, size=300) for size in shape)


def _success(args: argparse.Namespace, bundle: Path, backend: str) -> dict[str, Any]:
    """Closed-loop success of the same weights, by the control bench in another process."""
    from sdiwm_model.evaluation.recordings import run_command

    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        report = Path(folder) / "control.json"
        run_command(
            "bench", "control", "--task", args.task, "--backend", backend, "--model", str(bundle),
            "--episodes", str(args.success_episodes), "--seeds", *map(str, args.seeds),
            "--json", str(report),
        )  # fmt: skip
        success: dict[str, Any] = json.loads(report.read_text())["results"][args.task]["success"]
    return success


def _ceiling(
    args: argparse.Namespace,
    runtime: "Runtime",
    study: "Study",
    heldout: list[Path],
    block: dict[str, Any],
) -> float:
    """The simulator as the model, started as wrongly as the model's own probe reads its start."""
    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.assessment import ceiling
    from sdiwm_model.evaluation.imagination import encode
    from sdiwm_model.evaluation.recordings import replay

    units = {
        group["name"]: f"{group['name']}_{group['unit']}" for group in study.task["state_groups"]
    }
    errors = {name: block["probe_error_at_0"][key] for name, key in units.items()}
    errors.pop("fingertip", None)  # it follows from the joints
    block["ceiling_perturbation"] = {units[name]: size for name, size in errors.items()}
    with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
        replayed = []
        for index, data in enumerate(heldout):
            out = Path(folder) / str(index)
            replay(data, out, args.horizon, errors, args.seeds[index])
            replayed.append(out)
        return ceiling(study, encode(runtime, ShardReader(replayed).episodes()))


def _draw(args: argparse.Namespace, results: dict[str, Any], study: "Study") -> None:
    from sdiwm_model.evaluation.curve import draw_curves

    blocks = {name: block for name, block in results.items() if block is not None}
    picture = args.json.with_suffix(".png")
    draw_curves(picture, blocks, args.horizon, study.task["dt"])
    print(f"picture: {picture}")


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for name in ("shipped", "int8", "one_step"):
        if results[name] is not None:
            _print_block(name, results[name])


def _print_block(name: str, block: dict[str, Any]) -> None:
    at = f"_at_{len(block['hri'])}"
    low, high = block[f"hri_ci95{at}"]
    verdict = "" if block["valid"] else "  INVALID: the latents span too little"
    print(f"{name} ({block['backend']}, {block['model_hash']}), T = {len(block['hri'])}{verdict}")
    lines = {
        "HRI": f"{block['hri'][-1]:.3f} (95 %: {low:.3f} - {high:.3f})",
        "skill": _number(block[f"skill{at}"]),
        "baselines": _named(block[f"baselines{at}"]),
        "ceiling": _number(block.get(f"ceiling{at}")),
        "centred cosine": _number(block["hri_centred"][-1]),
        "whitened R2": _number(block[f"r2{at}"]),
        "retrieval@1": _number(block[f"retrieval{at}"]),
        "effective rank": f"{block['effective_rank']:.1f}",
        "probe error": _named(block[f"probe_error{at}"]),
        "  at the start": _named(block["probe_error_at_0"]),
        "Lipschitz bound": _number(block["lipschitz_certified"]),
    }
    if block["success"] is not None:
        lines["success"] = f"{block['success']['mean']:.1%} of {block['success']['n']}"
    for label, text in lines.items():
        print(f"  {label:<16} {text}")


def _named(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
