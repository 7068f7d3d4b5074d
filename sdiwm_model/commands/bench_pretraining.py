"""What pre-training is worth: robot training with and without it, on ever less robot data.

All models of a seed see the same episodes for the same number of updates; only the image encoder's
first weights differ. It is pre-trained on the pictures of --video alone, without actions or costs.
Runs are kept in --out: what was trained is not trained again, and what was stopped goes on.
"""

import argparse
from pathlib import Path
from typing import Any

from sdiwm_model.errors import SdiwmError

HELP = "robot training with and without pre-training, at several shares of the robot data"
STARTS = ("scratch", "pretrained")
SHOWN = ("hri", "cost_error", "encoded", "success")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments; --seeds are those of trainings, shares and episodes."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="robot episodes"
    )
    parser.add_argument(
        "--video", type=Path, nargs="+", metavar="DIR",
        help="what the encoder is pre-trained on; default the pictures of --data",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the runs")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[1.0, 0.1, 0.01], metavar="X",
        help="of the robot episodes",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="pre-training's, see `sdiwm pretrain`"
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="pre-training's settings"
    )
    parser.add_argument(
        "--train-set", nargs="*", default=[], metavar="NAME=VALUE",
        help="robot training's settings, e.g. vision_steps=1000",
    )  # fmt: skip
    parser.add_argument("--horizon", type=int, default=100, metavar="T", help="model steps")
    parser.add_argument(
        "--heldout", type=Path, nargs="+", metavar="DIR",
        help="episodes to be judged on; default recorded ones, see `sdiwm bench horizon`",
    )  # fmt: skip
    parser.add_argument(
        "--success-episodes", type=int, default=0, metavar="N",
        help="closed-loop episodes for each seed and model; 0 for none, then no words are learned",
    )  # fmt: skip


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet and judge all of it; a block for each share and start."""
    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.summary import spread
    from sdiwm_model.evaluation.transfer import Judgement
    from sdiwm_model.pretraining.settings import configure

    if args.horizon < 1 or args.success_episodes < 0:
        raise SdiwmError("--horizon must be 1 or more, --success-episodes 0 or more")
    config = configure(args.set, args.config)
    encoders = {seed: _encoder(args, config, seed) for seed in args.seeds}
    trained = {
        (share, start): [
            _trained(args, share, encoders[seed] if start == "pretrained" else None, seed)
            for seed in args.seeds
        ]
        for share in args.shares
        for start in STARTS
    }
    heldout = ShardReader(args.heldout or _heldout(args))
    judgement = Judgement.read(ShardReader(args.data), heldout, args.horizon)
    blocks: dict[str, Any] = {}
    for (share, start), runs in trained.items():
        rows = [_figures(args, judgement, run) for run in runs]
        blocks.setdefault(f"{share:g}", {})[start] = spread(rows)
    return {args.task: blocks}


def _encoder(args: argparse.Namespace, config: Any, seed: int) -> Path:
    """The pre-trained encoder of one seed, made now where it is missing."""
    from sdiwm_model.pretraining.distributed import joined
    from sdiwm_model.pretraining.encoder_file import is_pretrained
    from sdiwm_model.pretraining.run import pretrain_encoder

    folder: Path = args.out / "encoder" / str(seed)
    if not is_pretrained(folder):
        print(f"pre-training, seed {seed}")
        with joined() as team:
            pretrain_encoder(team, args.video or args.data, folder, config, seed)
    return folder


def _trained(args: argparse.Namespace, share: float, encoder: Path | None, seed: int) -> Path:
    """A robot's model trained on a share of the data, made now where it is missing."""
    from sdiwm_model.checkpoint import MANIFEST
    from sdiwm_model.data.shares import write_share
    from sdiwm_model.training.config import configure
    from sdiwm_model.training.run import train

    name = STARTS[encoder is not None]
    folder: Path = args.out / f"{share:g}" / name / str(seed)
    if not (folder / MANIFEST).is_file():
        print(f"robot training on {share:.0%} of the data, {name}, seed {seed}")
        data = [*args.data]
        if share < 1:
            data = [args.out / "data" / f"{share:g}-{seed}"]
            write_share(args.data, share, seed, data[0])
        words = [] if args.success_episodes else ["language_steps=0"]
        common = ["size.prior=0", "prior_plans=0", *words, *args.train_set]
        train(data, folder, configure(common, args.task), seed, vision=encoder)
    return folder


def _heldout(args: argparse.Namespace) -> list[Path]:
    """Recorded episodes of every seed; the shipped model plans in a part of them."""
    from sdiwm_model.evaluation.recordings import heldout_folder
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    planner = bundle_folder(None, args.task)
    about = args.task, planner, load_runtime(planner, "onnx").manifest.model_hash, args.horizon
    return [heldout_folder(*about, seed) for seed in args.seeds]


def _figures(args: argparse.Namespace, judgement: Any, run: Path) -> dict[str, Any]:
    """Of one model: on held-out episodes, and in closed loop where that is asked for."""
    from sdiwm_model.checkpoint import load_model
    from sdiwm_model.evaluation.recordings import closed_loop
    from sdiwm_model.export.bundle import export_bundle

    model, manifest = load_model(run)
    figures = {"model_hash": manifest.model_hash, **judgement.figures(model)}
    if args.success_episodes:
        bundle = run.with_name(f"{run.name}-bundle")
        if not bundle.exists():
            export_bundle(run, bundle, manifest.provenance["seed"])
        found = closed_loop(args.task, bundle, "native", args.success_episodes, args.seeds)
        figures["success"] = found["success"]["mean"]
    return figures


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, shares in results.items():
        print(f"sdiwm bench pretraining: {task}, mean +- std over seeds")
        for share, blocks in shares.items():
            for start, block in blocks.items():
                mean, std = block["mean"], block["std"]
                figures = (
                    f"{key} {mean[key]:.4g}" + ("" if std[key] is None else f" +- {std[key]:.2g}")
                    for key in mean
                    if key.startswith(SHOWN)
                )
                print(f"  {float(share):>5.0%} {start:<11}{'  '.join(figures)}")
