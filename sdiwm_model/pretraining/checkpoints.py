"""Checkpoints of a sharded run: every rank writes its part while training goes on.

A checkpoint is a folder, `checkpoints/update-00000500`, of one safetensors file a rank and
state.json; it appears whole or not at all. It holds whatever the next update depends on: weights,
targets, the optimiser's moments, the loader's place in the data and, since every micro-batch draws
from a generator of its own, the seed and the number of updates in place of a generator's state. It
can be read by any number of ranks.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import check_format_version, read_json_object, write_json
from sdiwm_model.pretraining.distributed import Team
from sdiwm_model.pretraining.protocols import Objective

FORMAT_VERSION = 1
FOLDER, STATE, UNFINISHED = "checkpoints", "state.json", ".part"
REMEDY = "remove this checkpoint's folder to go on from the one before"


@dataclass(frozen=True)
class Position:
    """Where a run is: updates done, and the loader's state then."""

    update: int
    loader: dict[str, Any]


class Checkpoints:
    """The checkpoints of the run in ``folder``.

    Args:
        identity: what makes this run this run; a checkpoint with another one is refused.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, team: Team, identity: dict[str, Any], keep: int) -> None:
        self._folder, self._team, self._keep = folder / FOLDER, team, keep
        self._identity = identity
        self._writers = dist.new_group(backend="gloo")  # used while the other groups train
        self._writing: tuple[Path, Position, Future[Any]] | None = None
        if team.rank == 0:
            for stale in self._folder.glob(f"*{UNFINISHED}"):
                shutil.rmtree(stale)
        team.wait()

    def save(
        self, position: Position, objective: Objective, optimiser: torch.optim.Optimizer
    ) -> None:
        """Copy the state to main memory and write it in the background."""
        self.settle()
        part = self._folder / f"update-{position.update:08d}{UNFINISHED}"
        part.mkdir(parents=True, exist_ok=True)
        writing = dcp.async_save(
            _tensors(objective, optimiser),
            storage_writer=dcp.HuggingFaceStorageWriter(str(part), save_distributed=True),
            process_group=self._writers,
        )
        assert isinstance(writing, Future)  # and not the response of a writer in another process
        self._writing = (part, position, writing)

    def settle(self) -> None:
        """Wait until the checkpoint that is being written is there; OSError if it cannot be."""
        if self._writing is None:
            return
        part, position, writing = self._writing
        self._writing = None
        try:
            writing.result()
        except CheckpointException as error:
            reasons = "; ".join(f"rank {rank}: {each[0]}" for rank, each in error.failures.items())
            raise SdiwmError(
                f"{part} could not be written ({reasons}); make room there and start again: the "
                "run goes on from the checkpoint before"
            ) from None
        if self._team.rank == 0:
            self._finish(part, position)

    def restore(self, objective: Objective, optimiser: torch.optim.Optimizer) -> Position | None:
        """Put back the newest checkpoint's state in place; None where there is none.

        Raises:
            SdiwmError: it is damaged, of another version, or of another run.
        """
        found = self._team.agree(self._newest())
        if not isinstance(found, str):
            return None
        folder = Path(found)
        position = self._check(folder)
        try:
            dcp.load(
                _tensors(objective, optimiser),
                storage_reader=dcp.HuggingFaceStorageReader(str(folder)),
                process_group=self._team.host,
            )
        except (CheckpointException, SafetensorError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise SdiwmError(f"{folder} cannot be read ({reason}); {REMEDY}") from None
        return position

    def _finish(self, part: Path, position: Position) -> None:
        """Name the files, give the folder its name and remove the oldest."""
        sizes = {each.name: each.stat().st_size for each in sorted(part.iterdir())}
        write_json(
            part / STATE,
            {
                "format_version": FORMAT_VERSION,
                "update": position.update,
                "loader": position.loader,
                "identity": self._identity,
                "ranks": self._team.world,
                "files": sizes,
            },
        )
        final = part.with_suffix("")
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        for old in self._finished()[: -self._keep]:
            shutil.rmtree(old)

    def _finished(self) -> list[Path]:
        return sorted(p for p in self._folder.glob("update-*") if p.suffix != UNFINISHED)

    def _newest(self) -> str | None:
        finished = self._finished()
        return str(finished[-1]) if finished else None

    def _check(self, folder: Path) -> Position:
        path = folder / STATE
        state = read_json_object(path, REMEDY)
        check_format_version(path, state.get("format_version"), FORMAT_VERSION, REMEDY)
        different = [k for k, v in self._identity.items() if state["identity"].get(k) != v]
        if different:
            raise SdiwmError(
                f"{folder} belongs to a run with another {' and '.join(different)}: choose "
                "another --out, or remove the folder to start anew"
            )
        for name, size in state["files"].items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                raise SdiwmError(f"{folder / name} is missing or truncated; {REMEDY}")
        return Position(state["update"], state["loader"])


def _tensors(objective: Objective, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors of a run by name: the very ones that are trained, so that loading fills them."""
    modules = objective.modules()
    found = {f"modules.{name}": value for name, value in modules.state_dict().items()}
    targets = objective.targets().state_dict()
    found |= {f"targets.{name}": value for name, value in targets.items()}
    for name, parameter in modules.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            found[f"optimiser.{name}.{key}"] = value
    return found
