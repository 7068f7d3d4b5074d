"""Where a run's losses go: TensorBoard always, Weights & Biases where it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from torch.utils.tensorboard import SummaryWriter

from sdiwm_model.errors import SdiwmError

TENSORBOARD = "tensorboard"
PROJECT = "sdiwm"


class Writer(Protocol):
    """One place to write losses to."""

    def write(self, stage: str, values: Mapping[str, float], step: int) -> None:
        """Note the ``values`` of update ``step``."""

    def flush(self) -> None:
        """Leave nothing in memory that a killed process would lose."""

    def close(self) -> None:
        """Write the rest and end."""


class TensorBoard:
    """Event files in ``folder``/tensorboard: scalar `stage/name` at each logged update."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder / TENSORBOARD))

    def write(self, stage: str, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A W&B run of the same scalars; offline it lies in ``folder``/wandb, for `wandb sync`.

    Nothing about the machine or its code is recorded. Every start of a stopped run is a run of its
    own there, in a group named after the folder.

    Raises:
        SdiwmError: W&B cannot start, for instance online without an account.
    """

    def __init__(self, folder: Path, mode: str, settings: Mapping[str, Any]) -> None:
        import wandb

        self._known: set[str] = set()
        self._teardown = wandb.teardown
        folder.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        try:
            self._run = wandb.init(
                project=PROJECT,
                group=folder.resolve().name,
                dir=folder,
                mode="offline" if mode == "offline" else "online",
                config=dict(settings),
                settings=quiet,
            )
        except wandb.errors.Error as error:
            raise SdiwmError(
                f"training setting 'wandb' is '{mode}', but W&B does not start ({error}): mend "
                "that, or set wandb=offline"
            ) from None

    def write(self, stage: str, values: Mapping[str, float], step: int) -> None:
        named = {f"{stage}/{name}": value for name, value in values.items()}
        for name in named.keys() - self._known:
            self._run.define_metric(name, step_metric=f"{stage}/update")
        self._known |= named.keys()
        self._run.log({f"{stage}/update": step, **named})

    def flush(self) -> None:
        """W&B's own process already has all."""

    def close(self) -> None:
        self._run.finish()
        self._teardown()  # until its process has ended, the end of an offline run is not on disk


class Logs:
    """All the writers of a run, as a context manager.

    Args:
        folder: of the run.
        wandb: "off", "offline" or "online".
        settings: what W&B shows beside the curves.
    """

    def __init__(self, folder: Path, wandb: str, settings: Mapping[str, Any]) -> None:
        self._writers: list[Writer] = []
        if wandb != "off":
            self._writers.append(WeightsAndBiases(folder, wandb, settings))
        self._writers.append(TensorBoard(folder))

    def write(self, stage: str, values: Mapping[str, float], step: int) -> None:
        """Note the losses ``values`` of update ``step`` of a stage."""
        for writer in self._writers:
            writer.write(stage, values, step)

    def flush(self) -> None:
        """Called with every snapshot, so that the curve of a killed run has no hole."""
        for writer in self._writers:
            writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()


def check_logging(mode: str) -> None:
    """Refuse a W&B mode that needs a package which is not installed."""
    if mode != "off" and importlib.util.find_spec("wandb") is None:
        raise SdiwmError(
            f"training setting 'wandb' is '{mode}', but the package wandb is not installed: "
            "`pip install -c constraints.txt '.[wandb]'`, or set wandb=off"
        )
