"""How far a model's imagination can be trusted: the Horizon Reliability Index, and what it needs.

Without --train-data and --data the episodes are recorded first, by `sdiwm collect`, and cached.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.commands.arguments import add_recordings, recording_folders
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    import numpy as np

    from sdiwm_model.evaluation.study import Folders, Study
    from sdiwm_model.runtime.protocols import Runtime

HELP = "prediction horizon: HRI beside baselines, retrieval, probe error, Lipschitz bound"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --json and --seeds are those of every bench."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[None], metavar="BUNDLE",
        help="other bundles: the first one is judged in full, all together give the spread over "
        "training seeds",
    )  # fmt: skip
    parser.add_argument(
        "--one-step", type=Path, nargs="+", default=[], metavar="BUNDLE",
        help="same data and size trained without drift loss, to compare with",
    )  # fmt: skip
    add_recordings(parser)
    parser.add_argument(
        "--success-episodes", type=int, default=10, metavar="N",
        help="closed-loop episodes for each seed and model, 0 for none",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure; one block for each model, null with a reason where there is none."""
    from sdiwm_model.evaluation.study import load_study
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    bundles = [bundle_folder(model, args.task) for model in args.model]
    bundle = bundles[0]
    runtime = load_runtime(bundle, "onnx")
    folders = recording_folders(args, bundle, runtime)
    study = load_study(runtime, folders, args.horizon)
    notes: dict[str, str] = {}
    shipped = _block(args, runtime, study, bundle, notes, "shipped")
    ceiling = _ceiling(runtime, study, folders, shipped)
    results: dict[str, Any] = {"shipped": shipped | ceiling, "int8": None, "one_step": None}
    try:
        native = load_runtime(bundle, "native")
    except SdiwmError as error:
        notes["int8"] = str(error)
    else:
        results["int8"] = _block(args, native, study, bundle, notes, "int8") | ceiling
    results["training_seeds"] = _family(args, folders, bundles, shipped)
    if not args.one_step:
        notes["one_step"] = "not measured: name a bundle trained without drift loss by --one-step"
    else:
        other = load_runtime(args.one_step[0], "onnx")
        own_study = load_study(other, folders, args.horizon)
        first = _block(args, other, own_study, args.one_step[0], notes, "one_step")
        results["one_step"] = first
        results["one_step_training_seeds"] = _family(args, folders, args.one_step, first)
    if args.json is not None:
        _draw(args, results, study)
    return results | {"notes": notes}


def _block(
    args: argparse.Namespace,
    runtime: "Runtime",
    study: "Study",
    bundle: Path,
    notes: dict[str, str],
    name: str,
) -> dict[str, Any]:
    from sdiwm_model.evaluation.assessment import assess
    from sdiwm_model.evaluation.recordings import closed_loop

    block = assess(runtime, study)
    block |= _lipschitz(_dynamics(bundle, name == "int8"), study, notes, name)
    if name == "int8":
        block["rounding_certified"] = _rounding(bundle)
    block["success"] = None
    if args.success_episodes:
        block |= closed_loop(args.task, bundle, runtime.backend, args.success_episodes, args.seeds)
    else:
        notes[f"{name}.success"] = "not measured: --success-episodes 0"
    return block


def _family(
    args: argparse.Namespace, folders: "Folders", bundles: list[Path], first: dict[str, Any]
) -> dict[str, Any]:
    """The main figures of every training seed, the first one's taken from its block."""
    from sdiwm_model.evaluation.summary import figures_of, spread, summarise

    rest = summarise(args.task, bundles[1:], folders, args.horizon, args.success_episodes)
    return spread([figures_of(first, args.horizon), *rest])


def _dynamics(bundle: Path, quantised: bool) -> "dict[str, np.ndarray]":
    """Weights of the dynamics as floats, for `quantised` those that the int8 engine holds."""
    if quantised:
        from sdiwm_model.compression.quantised_model import load_engine
        from sdiwm_model.evaluation.dequantise import dequantised_dynamics

        return dequantised_dynamics(load_engine(bundle / "engine.safetensors"))
    from safetensors.numpy import load_file

    from sdiwm_model.checkpoint import WEIGHTS

    return load_file(bundle / WEIGHTS)


def _rounding(bundle: Path) -> float:
    """What a step of the int8 engine may add to its real-valued dynamics, in units of z."""
    from sdiwm_model.compression.quantised_model import load_engine
    from sdiwm_model.evaluation.rounding import rounding_error

    return rounding_error(load_engine(bundle / "engine.safetensors"))


def _lipschitz(
    weights: "dict[str, np.ndarray]", study: "Study", notes: dict[str, str], name: str
) -> dict[str, Any]:
    """The certified bound, and what the Jacobian is at the recorded latents."""
    import numpy as np

    from sdiwm_model.evaluation.lipschitz import certified_bound, infinity_norm, jacobian
    from sdiwm_model.report import distribution

    if "dynamics.gru_hidden.weight" not in weights:
        notes[f"{name}.lipschitz_certified"] = "no certificate: the dynamics is not a GRU"
        return {"lipschitz_certified": None, "lipschitz_observed": None}
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


def _ceiling(
    runtime: "Runtime", study: "Study", folders: "Folders", block: dict[str, Any]
) -> dict[str, Any]:
    """The simulator as the model, started as wrongly as the model's own probe reads its start."""
    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.assessment import ceiling
    from sdiwm_model.evaluation.imagination import encode, joined
    from sdiwm_model.evaluation.recordings import replay

    names = [group["name"] for group in study.task["state_groups"]]
    errors = dict(zip(names, block["probe_error_at_0"].values(), strict=True))
    if "joints" in errors:
        errors.pop("fingertip", None)  # it follows from them
    replayed = []
    for data, seed in zip(folders.heldout, folders.seeds, strict=True):
        with tempfile.TemporaryDirectory(prefix="sdiwm-bench-") as folder:
            out = Path(folder) / "replayed"
            replay(data, out, study.steps, errors, seed)
            replayed.append(encode(runtime, ShardReader(out).episodes()))
    curve = ceiling(study, joined(replayed))
    keys = dict(zip(names, block["probe_error_at_0"], strict=True))
    return {
        "ceiling": curve,
        f"ceiling_at_{study.steps}": float(curve[-1]),
        "ceiling_perturbation": {keys[name]: size for name, size in errors.items()},
    }


def _draw(args: argparse.Namespace, results: dict[str, Any], study: "Study") -> None:
    from sdiwm_model.evaluation.curve import draw_curves

    picture = args.json.with_suffix(".png")
    draw_curves(picture, results, args.task, study.task["dt"])
    print(f"picture: {picture}")


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for name in ("shipped", "int8", "one_step"):
        if results[name] is not None:
            _print_block(name, results[name])
    for name in ("training_seeds", "one_step_training_seeds"):
        family = results.get(name)
        if family is not None and len(family["model_hash"]) > 1:
            _print_family(name.replace("_", " "), family)


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
        "  of the encoder": _named(block[f"probe_error_of_encoder{at}"]),
        "Lipschitz bound": _number(block["lipschitz_certified"]),
    }
    if block["success"] is not None:
        lines["success"] = f"{block['success']['mean']:.1%} of {block['success']['n']}"
    if block.get("return_ratio") is not None:
        lines["return / oracle"] = _number(block["return_ratio"]["mean"])
    for label, text in lines.items():
        print(f"  {label:<16} {text}")


def _print_family(name: str, family: dict[str, Any]) -> None:
    print(f"{name}: mean +- standard deviation of {len(family['model_hash'])}")
    for key, mean in family["mean"].items():
        values = ", ".join(_number(value) for value in family[key])
        print(f"  {key:<28} {_number(mean)} +- {_number(family['std'][key])}  ({values})")


def _named(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
