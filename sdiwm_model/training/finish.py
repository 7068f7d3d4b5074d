"""What follows the last update: the probe, calibration data and the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
from sdiwm_model.files import atomic_path
from sdiwm_model.heads import Probe
from sdiwm_model.training.batches import (
    Experience,
    all_with_history,
    draw_windows,
)
from sdiwm_model.training.goals import draw_goals
from sdiwm_model.world_model import WorldModel

CALIBRATION = "calibration.safetensors"
CALIBRATION_ROLLOUTS = 256
CALIBRATION_STEPS = 32
PICTURES = "pictures"  # the name of those in the file; all else is a field of Calibration
CALIBRATION_PICTURES = 128
PROBE_STEPS = 2000
PROBE_BATCH = 1024
PROBE_LEARNING_RATE = 3e-3


def fit_probe(model: WorldModel, latents: Tensor, state: Tensor, seed: int) -> Tensor:
    """Regression of the privileged state on the latents into a new ``model.probe``.

    Args:
        latents: (N, Z); state: (N, S).

    Returns:
        Root mean square error of each state number over the same data, (S,).
    """
    mean, std = state.mean(dim=0), state.std(dim=0) + 1e-6
    latents, target = latents.detach(), (state - mean) / std
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model.probe = Probe(model.size)
    optimiser = torch.optim.AdamW(model.probe.parameters(), PROBE_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PROBE_LEARNING_RATE, PROBE_STEPS)
    for _ in range(PROBE_STEPS):
        chosen = torch.randint(len(latents), (PROBE_BATCH,), generator=draw)
        loss = functional.mse_loss(model.probe(latents[chosen]), target[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        model.probe.scale(mean, std)
        return (model.probe(latents) - state).square().mean(dim=0).sqrt()


@torch.no_grad()
def write_calibration(
    folder: Path, model: WorldModel, data: Experience, features: Tensor, seed: int
) -> None:
    """Write a small sample of real rollouts, from which `sdiwm export` measures int8 ranges.

    Pictures are taken evenly from all.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = min(CALIBRATION_STEPS, int(data.lengths.min()) - 2)
    windows = draw_windows(
        data, features, CALIBRATION_ROLLOUTS, steps, generator, model.size.frames
    )
    goals = draw_goals(model, data, features, windows, generator)
    total = len(data.frames)
    chosen = torch.linspace(0, total - 1, min(total, CALIBRATION_PICTURES)).long()
    tensors = {
        PICTURES: data.frames[chosen],
        "latents": model.fusion(windows.features[:, 0], windows.proprio[:, 0]),
        "actions": windows.action[:, :-1],
        "conditionings": goals.c.flatten(0, 1).unique(dim=0)[:CALIBRATION_ROLLOUTS],
        "features": windows.features.flatten(0, 1),
        "proprio": windows.proprio.flatten(0, 1),
    }
    with atomic_path(folder / CALIBRATION) as temporary:
        temporary.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}))


def write_bundle(
    folder: Path,
    model: WorldModel,
    data: Experience,
    features: Tensor,
    manifest: Manifest,
    seed: int,
) -> dict[str, Any]:
    """Fit the probe and write weights, calibration and manifest; the probe's errors."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        latents = model.fusion(all_with_history(data, features, model.size.frames), data.proprio)
    errors = fit_probe(model, latents, data.state, seed)
    save_weights(folder / WEIGHTS, model)
    write_calibration(folder, model, data, features, seed)
    write_manifest(folder, manifest)
    return {"probe_rms": [round(float(e), 5) for e in errors]}
