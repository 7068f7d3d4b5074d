"""Everything that a stopped training run needs to go on exactly, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path

FILE = "checkpoint.safetensors"
FORMAT_VERSION = "1"


@dataclass(frozen=True)
class Position:
    """Where a run is: ``step`` updates of stage number ``stage`` are done."""

    stage: int
    step: int


def save_snapshot(
    folder: Path,
    model: nn.Module,
    stage_modules: nn.Module,
    optimiser: torch.optim.Optimizer,
    position: Position,
    identity: dict[str, Any],
) -> None:
    """Write the model, the stage's own modules, the optimiser and the position, atomically.

    ``identity`` says which run this is (configuration, seed, data); a resume compares it.
    """
    tensors = _named("model", model.state_dict()) | _named("stage", stage_modules.state_dict())
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= _named(f"optimiser.{index}", state)
    metadata = {
        "format_version": FORMAT_VERSION,
        "position": json.dumps(asdict(position)),
        "identity": json.dumps(identity),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / FILE) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))  # on a full disk an OSError


class Snapshot:
    """A snapshot on disk.

    Raises:
        SdiwmError: the file is damaged, of another version, or belongs to another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        path = folder / FILE
        try:
            with safe_open(path, framework="pt") as stored:
                metadata = stored.metadata() or {}
            self._tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise SdiwmError(f"{path} cannot be read ({error}); remove it to start anew") from None
        version = metadata.get("format_version")
        if version != FORMAT_VERSION:
            raise SdiwmError(
                f"{path}: format_version is {version}, this release reads {FORMAT_VERSION}; go on "
                "with the release that wrote it, or remove the file to start anew"
            )
        found = json.loads(metadata["identity"])
        wanted = json.loads(json.dumps(identity))
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            raise SdiwmError(
                f"{path} belongs to a run with another {' and '.join(different)}: "
                "choose another --out, or remove the folder to start anew"
            )
        self.position = Position(**json.loads(metadata["position"]))

    def restore_model(self, model: nn.Module) -> None:
        """Put the stored weights back into ``model``."""
        model.load_state_dict(self._part("model"))

    def restore_stage(self, modules: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put back what the stage trains beside the model, and the optimiser's moments."""
        modules.load_state_dict(self._part("stage"))
        state = optimiser.state_dict()
        count = len(state["param_groups"][0]["params"])
        parts = {index: self._part(f"optimiser.{index}") for index in range(count)}
        state["state"] = {index: part for index, part in parts.items() if part}
        optimiser.load_state_dict(state)

    def _part(self, prefix: str) -> dict[str, Tensor]:
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self._tensors.items() if k.startswith(start)}


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": t.detach().clone().contiguous() for name, t in tensors.items()}
