"""Training of a world-action model on a bundle's frozen encoder: what `sdiwm wam` does.

Every update draws its batch from a generator seeded by (run seed, update), so that a resumed run
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sdiwm_model.checkpoint import Manifest, load_model
from sdiwm_model.errors import SdiwmError
from sdiwm_model.report import commit
from sdiwm_model.training.checks import open_data
from sdiwm_model.training.logs import TensorBoard
from sdiwm_model.training.snapshot import FILE, Position, Snapshot, save_snapshot
from sdiwm_model.wam.checkpoint import FOLDER, WamManifest, save_wam
from sdiwm_model.wam.experience import Demonstrations, draw_chunks, load_demonstrations
from sdiwm_model.wam.flow import FlowLoss, draw_noisy, flow_loss
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.settings import WamConfig

LOG_EVERY = 20
WARM_UP = 0.05
GRADIENT_LIMIT = 1.0
SETTINGS = "config.yaml"
LEAST_STD = 1e-3  # of an observation's number that hardly changes in the data

AfterUpdate = Callable[[int], None]
"""Told the updates done after each of them; may raise, and the run can go on later."""


def train_wam(
    bundle: Path,
    folders: Sequence[Path],
    out: Path,
    config: WamConfig,
    seed: int,
    after_update: AfterUpdate = lambda done: None,
) -> WorldActionModel:
    """Train on the demonstrations in ``folders`` and write ``out``/wam.

    A run that was stopped goes on where it was: same call, same ``out``.

    Raises:
        SdiwmError: a bad bundle, bad data, a contradicting configuration, or a snapshot of another
            run. All of it is found before anything is written.
    """
    start = time.monotonic()
    torch.set_num_threads(1)  # two threads are slower than one for these sizes
    base, manifest = load_model(bundle)
    size = config.size_on(manifest.sizes)
    reader = open_data(folders)
    _check_task(manifest, reader.task, bundle, folders[0])
    identity = {
        "configuration": config.identity(),
        "seed": seed,
        "bundle": manifest.model_hash,
        "data": [shard["sha256"] for m in reader.manifests for shard in m["shards"]],
    }
    snapshot = Snapshot(out, identity) if (out / FILE).exists() else None
    data = load_demonstrations(folders, base)
    torch.manual_seed(seed)
    model = WorldActionModel(size)
    scale(model, data)
    out.mkdir(parents=True, exist_ok=True)
    config.write(out / SETTINGS)
    trained = _optimise(model, data, config, seed, out, identity, snapshot, after_update)
    provenance = {
        "command": shlex.join(["sdiwm", *sys.argv[1:]]),
        "seed": seed,
        "commit": commit(),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "configuration": config.identity(),
        "demonstrations": len(data.lengths),
        "data": [m["provenance"] for m in reader.manifests],
    }
    save_wam(out / FOLDER, trained, WamManifest(size, manifest.model_hash, provenance=provenance))
    return trained


def _check_task(manifest: Manifest, task: dict[str, Any], bundle: Path, folder: Path) -> None:
    """SdiwmError where the data is of another task than the bundle, or of other goals or steps."""
    stated = {"name": manifest.task, "dt": manifest.dt, "goals": list(manifest.goals)}
    for fact, wanted in stated.items():
        if task[fact] != wanted:
            raise SdiwmError(
                f"{folder} holds data whose {fact} is {task[fact]!r}, that of the bundle {bundle} "
                f"is {wanted!r}: name data of the bundle's own task"
            )


def scale(model: WorldActionModel, data: Demonstrations) -> None:
    """Set the units of observations and of imagined changes to what they are in the data."""
    size = model.size
    model.observation.mean.copy_(data.observation[0].mean(dim=0))
    model.observation.std.copy_(data.observation[0].std(dim=0) + LEAST_STD)
    for frame in range(size.frames):
        later = size.stride * (frame + 1)
        change = [
            data.features[start + later : start + length]
            - data.features[start : start + length - later]
            for start, length in zip(data.starts.tolist(), data.lengths.tolist(), strict=True)
        ]
        model.future.scale[frame].copy_(torch.cat(change).std(dim=0) + LEAST_STD)


def wam_loss(
    model: WorldActionModel, data: Demonstrations, config: WamConfig, generator: torch.Generator
) -> FlowLoss:
    """Errors of both velocities on a batch that ``generator`` draws."""
    batch = draw_chunks(data, model.size, config.sequences, config.chunks, generator)
    context = model.context(model.observe(batch.seen), batch.ends)
    video = model.future.of(context.now, batch.future)
    pair = draw_noisy(video, batch.action, config.draw, generator)
    return flow_loss(model, context, batch.code, pair)


def _optimise(
    model: WorldActionModel,
    data: Demonstrations,
    config: WamConfig,
    seed: int,
    out: Path,
    identity: dict[str, Any],
    snapshot: Snapshot | None,
    after_update: AfterUpdate,
) -> WorldActionModel:
    """All updates that are not done yet; the average of the weights, in evaluation mode."""
    kept = WorldActionModel(model.size)
    kept.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    done = 0
    if snapshot is not None:
        snapshot.restore_model(kept)
        snapshot.restore_stage(model, optimiser)
        done = snapshot.position.step
    log = TensorBoard(out)
    bar = tqdm(range(done, config.updates), desc="wam", initial=done, total=config.updates)
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 to 2 times as fast, the same losses
            loss = wam_loss(model, data, config, _generator(seed, step))
        total = loss.action + config.video_weight * loss.video
        optimiser.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_LIMIT)
        _check_finite(out, step, total.item() + norm.item())
        optimiser.step()
        _average(kept, model, config.average, step)
        if step % LOG_EVERY == 0:
            parts = {"action": loss.action.item(), "video": loss.video.item()}
            bar.set_postfix({name: f"{part:.3g}" for name, part in parts.items()})
            log.write("wam", parts, step)
        if (step + 1) % config.save_every == 0 or step + 1 == config.updates:
            log.flush()
            save_snapshot(out, kept, model, optimiser, Position(0, step + 1), identity)
        after_update(step + 1)
    log.close()
    return kept.eval()


def learning_rate(config: WamConfig, step: int) -> float:
    """Linear warm-up over 5 % of the run, then a half cosine down to zero."""
    warm_up = max(1, int(WARM_UP * config.updates))
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    share = (step - warm_up) / max(1, config.updates - warm_up)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


@torch.no_grad()
def _average(kept: WorldActionModel, model: WorldActionModel, average: float, step: int) -> None:
    """Move ``kept`` towards ``model``; faster in the beginning, when its weights are random."""
    share = min(average, (step + 1) / (step + 10))
    for mean, new in zip(kept.parameters(), model.parameters(), strict=True):
        mean.lerp_(new, 1.0 - share)


def _check_finite(out: Path, step: int, value: float) -> None:
    """Stop before the update that would spoil the weights."""
    if not math.isfinite(value):
        raise SdiwmError(
            f"the loss or its gradient became {value} at update {step}; {out} holds the last good "
            "weights: train into another folder with a lower learning_rate"
        )


def _generator(seed: int, step: int) -> torch.Generator:
    key = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(key >> np.uint64(1)))
