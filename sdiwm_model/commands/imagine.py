"""A film of what a model imagines, beside what really happened.

A small decoder is fitted to the model's latents first, and kept for the next time. The episodes
are the first held-out ones of `sdiwm bench horizon`, not chosen ones.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sdiwm_model.commands.arguments import seed
from sdiwm_model.errors import SdiwmError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sdiwm_model.evaluation.decoder import Decoder
    from sdiwm_model.planning.protocols import Array

HELP = "film what a model imagines beside what really happened"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--task", default="reach", help="simulated task")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="another bundle")
    parser.add_argument(
        "--out", type=Path, default=Path("imagined.gif"), metavar="FILE", help=".gif or .mp4"
    )
    parser.add_argument("--episodes", type=int, default=3, metavar="N", help="filmed")
    parser.add_argument("--horizon", type=int, default=100, metavar="T", help="model steps")
    parser.add_argument(
        "--train-data", type=Path, metavar="DIR", help="episodes to fit the decoder to"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="held-out episodes, to film")
    add_decoder(parser)
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="of recording, decoder")


def add_decoder(parser: argparse.ArgumentParser) -> None:
    """Add what says where a decoder is and how a new one is fitted; see `decoder_of`."""
    parser.add_argument(
        "--decoder", type=Path, metavar="FILE", help="read it here, or write it here"
    )
    parser.add_argument(
        "--steps", type=int, default=3000, metavar="N", help="updates of a new decoder"
    )


def run(args: argparse.Namespace) -> int:
    """Film; print where the film is."""
    if args.episodes < 1 or args.horizon < 1 or args.steps < 1:
        raise SdiwmError("--episodes, --horizon and --steps must be 1 or more")
    from sdiwm_model.files import check_writable
    from sdiwm_model.film import check_film_path, write_film

    check_film_path(args.out)
    check_writable("--out", args.out)
    from sdiwm_model.data.shards import ShardReader
    from sdiwm_model.evaluation.horizon import Whitening
    from sdiwm_model.evaluation.imagined_film import draw_clip, latents_and_pictures, make_clips
    from sdiwm_model.evaluation.recordings import decoder_folder, heldout_folder
    from sdiwm_model.runtime.load import load_runtime
    from sdiwm_model.shipped import bundle_folder

    bundle = bundle_folder(args.model, args.task)
    runtime = load_runtime(bundle, "onnx")
    training = args.train_data or decoder_folder(args.task)
    about = args.task, bundle, runtime.manifest.model_hash, args.horizon
    heldout = ShardReader(args.data or heldout_folder(*about, args.seed))
    latents, pictures = latents_and_pictures(runtime, ShardReader(training).episodes())
    decoder = decoder_of(args, latents, pictures, runtime.manifest.model_hash, args.seed)
    clips = make_clips(
        runtime, decoder, Whitening.fit(latents), heldout, args.episodes, args.horizon
    )
    dt = runtime.manifest.dt
    frames = (picture for clip in clips for picture in draw_clip(clip, dt))
    count = write_film(frames, args.out, 1 / dt)
    print(f"{args.out}: {len(clips)} episodes, {count} pictures")
    return 0


def decoder_of(
    args: argparse.Namespace,
    latents: "Array",
    pictures: "NDArray[np.uint8]",
    model_hash: str,
    seed: int,
) -> "Decoder":
    """The decoder of this model, fitted now where there is none yet."""
    from tqdm import tqdm

    from sdiwm_model.evaluation.decoder import load_decoder, save_decoder, train_decoder
    from sdiwm_model.runtime.build import cache_folder

    path = args.decoder or cache_folder() / "decoder" / f"{model_hash}.safetensors"
    if path.is_file():
        return load_decoder(path, model_hash)
    with tqdm(total=args.steps, desc="decoder", unit="update", disable=None) as bar:

        def show(loss: float) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {loss:.4f}")

        decoder = train_decoder(latents, pictures, args.steps, seed, show)
    save_decoder(path, decoder, model_hash)
    print(f"decoder: {path}")
    return decoder
