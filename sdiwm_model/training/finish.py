"""What follows the last update: the probe, calibration data and the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sdiwm_model.checkpoint import WEIGHTS, Manifest, save_weights, write_manifest
from sdiwm_model.files import atomic_path
from sdiwm_model.training.batches import (
    Experience,
    all_with_history,
    draw_windows,
    encode_frames,
)
from sdiwm_model.training.goals import draw_goals
from sdiwm_model.world_model import WorldModel

CALIBRATION = "calibration.safetensors"
CALIBRATION_ROLLOUTS = 256
CALIBRATION_STEPS = 32
RIDGE = 1e-3


@torch.no_grad()
def fit_probe(model: WorldModel, latents: Tensor, state: Tensor) -> Tensor:
    """Ridge regression of the privileged state on the latents, into ``model.probe``.

    Args:
        latents: (N, Z); state: (N, S).

    Returns:
        Root mean square error of each state number over the same data, (S,).
    """
    centre, target = latents.mean(dim=0), state.mean(dim=0)
    z, y = latents - centre, state - target
    gram = z.T @ z + RIDGE * len(z) * torch.eye(z.shape[1])
    weight = torch.linalg.solve(gram, z.T @ y).T
    model.probe.weight.copy_(weight)
    model.probe.bias.copy_(target - weight @ centre)
    return (model.probe(latents) - state).square().mean(dim=0).sqrt()


@torch.no_grad()
def write_calibration(
    folder: Path, model: WorldModel, data: Experience, features: Tensor, seed: int
) -> None:
    """Write a small sample of real rollouts, from which `sdiwm export` measures int8 ranges."""
    generator = torch.Generator().manual_seed(seed)
    steps = min(CALIBRATION_STEPS, int(data.lengths.min()) - 2)
    windows = draw_windows(
        data, features, CALIBRATION_ROLLOUTS, steps, generator, model.size.frames
    )
    goals = draw_goals(model, data, features, windows, generator)
    tensors = {
        "latents": model.fusion(windows.features[:, 0], windows.proprio[:, 0]),
        "actions": windows.action[:, :-1],
        "conditionings": goals.c.flatten(0, 1).unique(dim=0)[:CALIBRATION_ROLLOUTS],
        "features": windows.features.flatten(0, 1),
        "proprio": windows.proprio.flatten(0, 1),
    }
    with atomic_path(folder / CALIBRATION) as temporary:
        temporary.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}))


@torch.no_grad()
def write_bundle(
    folder: Path, model: WorldModel, data: Experience, manifest: Manifest, seed: int
) -> dict[str, Any]:
    """Fit the probe and write weights, calibration and manifest; the probe's errors."""
    folder.mkdir(parents=True, exist_ok=True)
    features = encode_frames(model.vision, data.frames)
    latents = model.fusion(all_with_history(data, features, model.size.frames), data.proprio)
    errors = fit_probe(model, latents, data.state)
    save_weights(folder / WEIGHTS, model)
    write_calibration(folder, model, data, features, seed)
    write_manifest(folder, manifest)
    return {"probe_rms": [round(float(e), 5) for e in errors]}
