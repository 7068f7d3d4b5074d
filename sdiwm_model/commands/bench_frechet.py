"""How real imagined video looks, as a whole: distances between sets of clips, with their scale.

Imagined clips are those that `sdiwm imagine` films. Each distance stands beside what the same
number of real clips differs by (the noise floor), beside what the decoder alone costs, and beside a
ladder of corruptions. It is called FVD for I3D's features only, which --i3d brings.
"""

import argparse
from pathlib import Path
from typing import Any

from sdiwm_model.commands.arguments import add_recordings
from sdiwm_model.commands.imagine import add_decoder, decoder_of
from sdiwm_model.errors import SdiwmError

HELP = "Frechet distance of imagined from real video, with noise floor and corruption ladder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bench's own arguments."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="another bundle")
    add_recordings(parser)
    add_decoder(parser)
    parser.add_argument("--clip", type=int, default=16, metavar="T", help="pictures of a clip")
    parser.add_argument("--splits", type=int, default=10, metavar="N", help="into halves")
    parser.add_argument(
        "--encoder", type=Path, metavar="RUN", help="what `sdiwm pretrain` wrote, as a feature"
    )
    parser.add_argument("--i3d", type=Path, metavar="FILE", help="TorchScript of I3D, for FVD")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """One block for each feature."""
    if not 2 <= args.clip <= args.horizon + 1 or args.splits < 1:
        raise SdiwmError("--clip must be 2 to --horizon + 1, and --splits 1 or more")
    from sdiwm_model.commands.arguments import recording_folders
    from sdiwm_model.evaluation.clip_features import (
        EncoderFeature,
        I3DFeature,
        RandomFeature,
        pixel_feature,
    )
    from sdiwm_model.evaluation.frechet import Feature, compare
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    features: dict[str, Feature] = {
        "frechet_pixels": pixel_feature,
        "frechet_random3d": RandomFeature(),
    }
    if args.encoder is not None:
        features["frechet_encoder"] = EncoderFeature(args.encoder)
    if args.i3d is not None:
        features["fvd"] = I3DFeature(args.i3d)
    bundle = bundle_folder(args.model, args.task)
    runtime = load_runtime(bundle, "onnx")
    folders = recording_folders(args, bundle, runtime)
    real, made = _clips(args, runtime, folders)
    seed = args.seeds[0]
    blocks = {n: compare(f, real, made, args.splits, seed) for n, f in features.items()}
    return {args.task: blocks | {"model_hash": runtime.manifest.model_hash}}


def _clips(args: argparse.Namespace, runtime: Any, folders: Any) -> tuple[Any, dict[str, Any]]:
    """Real clips, and those imagined and read through the latent of the same moments."""
    import numpy as np

    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.frechet import cut_clips
    from sdiwm_model.evaluation.horizon import Whitening
    from sdiwm_model.evaluation.imagined_film import latents_and_pictures, make_clips
    from sdiwm_model.evaluation.recordings import decoder_folder

    training = args.train_data or decoder_folder(args.task)
    latents, pictures = latents_and_pictures(runtime, ShardReader(training).episodes())
    decoder = decoder_of(args, latents, pictures, runtime.manifest.model_hash, args.seeds[0])
    reader = ShardReader(list(folders.heldout))
    films = make_clips(runtime, decoder, Whitening.fit(latents), reader, len(reader), args.horizon)

    def joined(name: str) -> Any:
        return np.concatenate([cut_clips(getattr(film, name), args.clip) for film in films])

    return joined("real"), {"imagined": joined("imagined"), "reconstructed": joined("read")}


def print_table(results: dict[str, Any]) -> None:
    """Print the results for a person."""
    for task, blocks in results.items():
        for name, block in blocks.items():
            if name == "model_hash":
                continue
            print(f"sdiwm bench frechet: {task}, {name}, {block['clips']} clips against as many")
            for row in ("noise_floor", "reconstructed", "imagined"):
                print(f"  {row:<16}{_figure(block[row])}")
            for corruption, levels in block["ladder"].items():
                order = "" if block["ordered"][corruption] else "   NOT IN ORDER"
                print(f"  {corruption:<16}{'   '.join(map(_figure, levels))}{order}")


def _figure(value: dict[str, Any]) -> str:
    return f"{value['mean']:.4g}" + (f" +- {value['std']:.2g}" if value["std"] is not None else "")
