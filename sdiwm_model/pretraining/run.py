"""A whole pre-training run, from folders of clips to an encoder: what `sdiwm pretrain` does."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sdiwm_model.data.shards import ShardReader
from sdiwm_model.data.stream import ClipLoader
from sdiwm_model.data.stream_local import LocalClipLoader, Rank
from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.horizon import Whitening
from sdiwm_model.pretraining.distributed import Team
from sdiwm_model.pretraining.encoder_file import MANIFEST, save_encoder
from sdiwm_model.pretraining.loop import pretrain
from sdiwm_model.pretraining.objective import LatentPrediction
from sdiwm_model.pretraining.schedule import LoopSettings
from sdiwm_model.pretraining.settings import ObjectiveSettings, PretrainingConfig
from sdiwm_model.pretraining.sharding import whole_weights
from sdiwm_model.pretraining.tokens import token_maker
from sdiwm_model.report import commit
from sdiwm_model.sizes import ModelSize

if TYPE_CHECKING:
    from sdiwm_model.data.ray_stream import RayClipLoader

SETTINGS = "config.yaml"
IMAGE = "image."  # of the encoder's weights inside what makes tokens of its features
WATCHED = 512  # pictures that the effective rank is measured on
COLLAPSED = 2.0  # effective rank below which an encoder says next to nothing


def pretrain_encoder(
    team: Team, folders: Sequence[Path], out: Path, config: PretrainingConfig, seed: int
) -> float:
    """Train an image encoder on clips and write it into ``out``; its tokens' effective rank.

    A run that was stopped goes on where it was: same command, same ``out``.

    Raises:
        SdiwmError: bad data, contradicting settings, or a checkpoint of another run; found before
            anything is written.
    """
    start = time.monotonic()
    if (out / MANIFEST).exists():
        raise SdiwmError(f"{out} already holds a pre-trained encoder; name another --out")
    reader = ShardReader(list(folders))
    size = config.size_for(reader.spec)
    loop = LoopSettings(**{f.name: getattr(config, f.name) for f in fields(LoopSettings)})
    objective = ObjectiveSettings(
        **{f.name: getattr(config, f.name) for f in fields(ObjectiveSettings)}
    )

    def make() -> LatentPrediction:
        return LatentPrediction(size, objective, config.frames, config.every, config.updates)

    def open_loader(rank: int, ranks: int, clips: int) -> ClipLoader:
        loader = _loader_of(config.loader)(
            list(folders), config.span, clips, seed, Rank(rank, ranks)
        )
        if rank == 0 and loader.short:
            print(
                f"{loader.short} of {len(reader)} episodes have fewer than {config.span} pictures "
                "and give no clip",
                file=sys.stderr,
            )
        return loader

    make()  # refuses what contradicts itself, before anything is written
    shards = [shard["sha256"] for m in reader.manifests for shard in m["shards"]]
    about: dict[str, Any] = {"objective": asdict(objective), "size": size.to_dict()}
    about |= {"frames": config.frames, "every": config.every, "data": shards}
    loop.micro_batches(team.world)
    if team.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        config.write(out / SETTINGS)
    trained = pretrain(team, make, open_loader, loop, out, seed, json.loads(json.dumps(about)))
    weights = whole_weights(trained.targets()["encoder"])
    rank = effective_rank(weights, size, reader, seed)
    if team.rank == 0:
        provenance: dict[str, Any] = {
            "command": shlex.join(["sdiwm", *sys.argv[1:]]),
            "seed": seed,
            "commit": commit(),
            "minutes": round((time.monotonic() - start) / 60, 1),
            "ranks": team.world,
            "configuration": asdict(config),
            "data": [m["provenance"] for m in reader.manifests],
            "shards": shards,
            "effective_rank": rank,
            "collapsed": rank < COLLAPSED,
        }
        image = {k.removeprefix(IMAGE): v for k, v in weights.items()}
        save_encoder(out, image, size, provenance)
    return rank


def _loader_of(kind: str) -> type[LocalClipLoader] | type[RayClipLoader]:
    """Who reads the clips: threads of each rank, or the workers of a Ray cluster."""
    if kind == "local":
        return LocalClipLoader
    from sdiwm_model.data.ray_stream import RayClipLoader

    return RayClipLoader


@torch.inference_mode()
def effective_rank(
    weights: dict[str, Tensor], size: ModelSize, reader: ShardReader, seed: int
) -> float:
    """Effective rank of the encoder's tokens over some pictures of the data.

    exp of the entropy of the eigenvalues' shares of the covariance (`Whitening`). A picture's
    tokens count as their mean: what differs within a picture is no sign of life.
    """
    encoder = token_maker(size)
    encoder.load_state_dict(weights)
    rng = np.random.default_rng(seed)
    episodes = rng.permutation(len(reader))[:32]
    pictures = []
    for index in np.sort(episodes):
        frames = reader.read(int(index)).frames
        chosen = np.linspace(0, len(frames) - 1, WATCHED // len(episodes)).round().astype(int)
        pictures.append(frames[chosen])
    tokens = [encoder(torch.from_numpy(each)).mean(dim=1) for each in pictures]
    return Whitening.fit(torch.cat(tokens).numpy()).effective_rank
