"""A trained run becomes one whose weights know their rounding: what `sdiwm compress` does."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from sdiwm_model.checkpoint import WEIGHTS, load_model, save_weights, write_manifest
from sdiwm_model.compression.activations import Floats, Weights
from sdiwm_model.compression.fine_tune import fine_tune
from sdiwm_model.compression.quantise import as_one_estimate
from sdiwm_model.compression.quantised_model import save_engine
from sdiwm_model.compression.search import quantise_for_control
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.bundle import ENGINE, read_calibration
from sdiwm_model.report import commit
from sdiwm_model.training.finish import CALIBRATION


def compress_run(
    source: Path,
    out: Path,
    updates: int,
    seed: int,
    after_update: Callable[[int, float], None] = lambda done, loss: None,
) -> dict[str, Any]:
    """Fine-tune dynamics and heads of the run ``source`` through their rounding, into ``out``.

    ``out`` is a run again, with an engine of its own, for `sdiwm export`. Stopped, it goes on with
    the same call.

    Returns:
        The first and last loss, null where all updates were done before, and the ranges.

    Raises:
        SdiwmError: ``source`` is no run, has no GRU or a bounded one; ``out`` belongs to another
            run.
    """
    model, manifest = load_model(source)
    calibration, _ = read_calibration(source)
    if model.size.dynamics_kind != "gru":
        raise SdiwmError(
            f"{source}: its dynamics is a {model.size.dynamics_kind}, and the integer engine runs "
            "a GRU: train a size that has one"
        )
    if model.size.lipschitz:
        raise SdiwmError(
            f"{source}: size.lipschitz is {model.size.lipschitz}, and fine-tuning would leave that "
            "bound: export this run as it is, or train one with size.lipschitz=0"
        )
    if out.exists() and (not out.is_dir() or out.resolve() == source.resolve()):
        raise SdiwmError(f"--out {out} must be a folder other than --model")
    weights = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    ranges = quantise_for_control(weights, calibration, manifest.planner, seed).ranges
    losses: list[float] = []

    def told(done: int, loss: float) -> None:
        losses.append(loss)
        after_update(done, loss)

    tuned, engine = fine_tune(
        weights, calibration, ranges, updates, seed, folder=out, after_update=told
    )
    out.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        state = {n: torch.from_numpy(w) for n, w in _every_estimate(weights, tuned).items()}
    model.load_state_dict(state)
    save_weights(out / WEIGHTS, model)
    save_engine(engine, out / ENGINE)
    shutil.copyfile(source / CALIBRATION, out / CALIBRATION)
    about = {
        "command": shlex.join(["sdiwm", *sys.argv[1:]]),
        "commit": commit(),
        "seed": seed,
        "updates": updates,
        "loss": [losses[0], losses[-1]] if losses else None,
        "ranges": asdict(ranges),
        "of": manifest.model_hash,
    }
    write_manifest(out, replace(manifest, provenance=manifest.provenance | {"fine_tune": about}))
    return about


def _every_estimate(weights: Weights, tuned: Weights) -> dict[str, Floats]:
    """All weights; those of an ensemble of costs moved by what their mean was moved."""
    result, before = dict(weights), as_one_estimate(weights)
    for name, value in tuned.items():
        moved = value - before[name]
        result[name] = weights[name] + moved if moved.any() else weights[name]
    return result
