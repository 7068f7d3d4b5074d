"""One rank of a miniature pre-training run, as the tests start it in their own process or others.

`one_rank.py DATA OUT [DIE_AT]`: rank 1 kills itself with SIGKILL when it asks for its DIE_AT-th
micro-batch. Each rank notes the clips it was handed in OUT/clips-RANK.jsonl.
"""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import torch

from sdiwm_model.data.stream_local import LocalClipLoader, Rank
from sdiwm_model.pretraining.distributed import joined
from sdiwm_model.pretraining.loop import pretrain
from sdiwm_model.pretraining.objective import LatentPrediction
from sdiwm_model.pretraining.schedule import LoopSettings
from sdiwm_model.pretraining.settings import ObjectiveSettings
from sdiwm_model.sizes import find_size

FRAMES = 4
SETTINGS = {
    "updates": 8,
    "effective_batch": 8,
    "micro_batch": 2,
    "learning_rate": 1e-3,
    "save_every": 3,
    "recompute": True,
}


class NotingLoader(LocalClipLoader):
    """Notes the clips that it hands out."""

    def note(self, path, die_at):
        self._path, self._die_at = path, die_at
        return self

    def __iter__(self):
        with self._path.open("a") as file:
            for number, batch in enumerate(super().__iter__()):
                if number == self._die_at and self.rank.index == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                file.write(json.dumps(batch.clip.tolist()) + "\n")
                file.flush()
                yield batch


def objective(updates=SETTINGS["updates"]):
    narrow = ObjectiveSettings(predictor_width=32, predictor_depth=1, predictor_heads=2)
    return LatentPrediction(
        find_size("miniature_teacher"), narrow, frames=FRAMES, every=1, updates=updates
    )


def open_loader(data, out, die_at, rank, world, micro_batch):
    out.mkdir(exist_ok=True)
    loader = NotingLoader(data, FRAMES, micro_batch, rank=Rank(rank, world), threads=1)
    return loader.note(out / f"clips-{rank}.jsonl", die_at)


def run(data, out, die_at=-1, seed=0, make=objective, **changes):
    """A run of this process's rank; its objective's weights, in full."""
    from sdiwm_model.pretraining.sharding import whole_weights

    torch.set_num_threads(1)
    settings = LoopSettings(**{**SETTINGS, **changes})
    with joined() as team:
        opener = partial(open_loader, data, out, die_at)
        trained = pretrain(team, make, opener, settings, out, seed, {"size": "miniature_teacher"})
        return {
            "modules": whole_weights(trained.modules()),
            "targets": whole_weights(trained.targets()),
        }


def as_rank(rank, port, *arguments):
    """What torchrun does for each of two ranks."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "RANK": rank}
    os.environ |= {name: str(value) for name, value in place.items()}
    run(*arguments)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
