"""The pre-training loop: the same for one process, torchrun and Ray Train.

An update is made of micro-batches; micro-batch k of an update is the k-th of one global sequence,
whoever computes it, and draws from a generator of its own. So W ranks see what one would see, and
differ from it by the order of floating-point sums alone; and a run that was killed goes on from
its last checkpoint with the very numbers that it would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from sdiwm_model.data.stream import ClipBatch, ClipLoader
from sdiwm_model.pretraining.checkpoints import Checkpoints, Position
from sdiwm_model.pretraining.distributed import Team
from sdiwm_model.pretraining.metrics import Metrics, peak_tflops
from sdiwm_model.pretraining.operations import training_flops
from sdiwm_model.pretraining.protocols import Objective
from sdiwm_model.pretraining.schedule import LoopSettings
from sdiwm_model.pretraining.sharding import shard
from sdiwm_model.pretraining.update import Updater

Maker = Callable[[], Objective]
Opener = Callable[[int, int, int], ClipLoader]  # rank, ranks, clips of a micro-batch


def pretrain(
    team: Team,
    make: Maker,
    open_loader: Opener,
    settings: LoopSettings,
    out: Path,
    seed: int,
    identity: dict[str, Any],
) -> Objective:
    """Train an objective, going on from the newest checkpoint in ``out``; the objective, sharded.

    Args:
        make: gives a new objective; it is also called on the meta device, to count operations.
        open_loader: opens this rank's loader of micro-batches.
        out: of the run; all ranks must see the same folder.
        identity: whatever else makes the run what it is, such as model size and data.

    Raises:
        SdiwmError: settings that do not fit the number of ranks, a checkpoint of another run, or a
            loss that is no number (the last checkpoint stays).
    """
    micro_batches = settings.micro_batches(team.world)
    torch.manual_seed(seed)
    objective = make()
    shard(objective, team, settings.precision, settings.recompute)
    optimiser = optimiser_of(objective.modules(), settings)
    known = {**identity, "settings": settings.identity(), "seed": seed}
    checkpoints = Checkpoints(out, team, known, settings.keep)
    loader = open_loader(team.rank, team.world, settings.micro_batch)
    try:
        position = checkpoints.restore(objective, optimiser)
        if position is not None:
            loader.load_state_dict(position.loader)
        batches = iter(loader)
        peak = peak_tflops(team.device, settings.peak_tflops)
        updater = Updater(team, objective, optimiser, settings, seed, micro_batches)
        if peak is not None:
            updater.compare_with(peak, lambda shape: training_flops(make, shape))
        _updates(updater, batches, loader, checkpoints, out, position.update if position else 0)
    finally:
        loader.close()
    return objective


def _updates(
    updater: Updater,
    batches: Iterator[ClipBatch],
    loader: ClipLoader,
    checkpoints: Checkpoints,
    out: Path,
    done: int,
) -> None:
    """All updates that are not done yet, each logged, with a checkpoint every so often."""
    settings, chief = updater.settings, updater.team.rank == 0
    bar = tqdm(total=settings.updates, initial=done, desc="pre-training", disable=not chief)
    with ExitStack() as stack:
        stack.enter_context(bar)
        stack.callback(checkpoints.settle)  # what was begun is finished, whatever happens then
        metrics = stack.enter_context(Metrics(out, done)) if chief else None
        for update in range(done, settings.updates):
            values = updater.update(update, batches)
            if metrics is not None:
                metrics.write(update, values)
                bar.set_postfix(loss=f"{values['loss']:.4g}", wait=f"{values['wait_fraction']:.1%}")
            bar.update()
            if (update + 1) % settings.save_every == 0 or update + 1 == settings.updates:
                here = Position(update + 1, loader.state_dict())
                checkpoints.save(here, updater.objective, updater.optimiser)


def optimiser_of(modules: nn.ModuleDict, settings: LoopSettings) -> torch.optim.AdamW:
    """AdamW, Loshchilov and Hutter (2019); biases, gains and single vectors do not decay.

    Fused: the update then needs no temporaries of the weights' size.
    """
    parameters = [p for p in modules.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    for parameter in parameters:  # moments from the start: a checkpoint is read into them in place
        optimiser.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimiser
