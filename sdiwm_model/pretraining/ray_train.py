"""Pre-training by the workers of a Ray cluster: Ray Train starts the ranks and replaces lost ones.

Everything else is as under torchrun: the workers share data and run folder through a file system
that all nodes mount, and a run whose worker or node died goes on from its last checkpoint there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdiwm_model.data.ray_session import ensure_ray
from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.encoder_file import load_encoder
from sdiwm_model.pretraining.settings import PretrainingConfig

RESTARTS = 3  # of all ranks after the loss of one, in one call
BOOKKEEPING = "ray"  # folder of Ray Train's own files inside that of the run


def pretrain_on_ray(
    folders: Sequence[Path], out: Path, config: PretrainingConfig, seed: int, workers: int
) -> float:
    """As `run.pretrain_encoder`, by ``workers`` ranks of the cluster that RAY_ADDRESS names.

    Each takes a GPU where the cluster has any, else a processor core. Without RAY_ADDRESS a Ray of
    this machine is started.

    Raises:
        SdiwmError: the cluster is too small, or the run failed too often.
    """
    ray = ensure_ray()
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    kind = _enough(ray.cluster_resources(), workers)
    out = out.resolve()
    trainer = TorchTrainer(
        _rank,
        train_loop_config={
            "folders": [folder.resolve() for folder in folders],
            "out": out,
            "config": config,
            "seed": seed,
        },
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=kind == "GPU"),
        run_config=RunConfig(
            name=out.name,
            storage_path=str(out / BOOKKEEPING),
            failure_config=FailureConfig(max_failures=RESTARTS),
        ),
    )
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        reasons = [line for line in str(error).strip().splitlines() if line.strip()]
        raise SdiwmError(
            f"the ranks on Ray failed ({reasons[-1].strip()}); mend that and start again with the "
            "same --out: the run goes on from its last checkpoint"
        ) from error
    return float(load_encoder(out).provenance["effective_rank"])


def _enough(resources: dict[str, float], workers: int) -> str:
    """What each rank takes, "GPU" or "CPU"; SdiwmError where there are not ``workers`` of it."""
    kind = "GPU" if resources.get("GPU") else "CPU"
    found = int(resources.get(kind, 0))
    if found < workers:
        raise SdiwmError(
            f"--ray-workers is {workers}, but the Ray cluster has {found} {kind}s: ask for at most "
            "that many, or add nodes"
        )
    return kind


def _rank(told: dict[str, Any]) -> None:
    """One rank, in a worker process that Ray Train has joined to the others."""
    from sdiwm_model.pretraining.distributed import joined
    from sdiwm_model.pretraining.run import pretrain_encoder

    with joined() as team:
        pretrain_encoder(team, told["folders"], told["out"], told["config"], told["seed"])
