"""A bundle: one folder with a model's weights, its exported forms and a manifest with hashes.

What a release reads. Every bundle since format version 1, whatever release made it: a field or a
file that is added has a default that means what was before, and the version stays. Where that is
impossible (a field goes, or means another thing), FORMAT_VERSION rises, and `read_manifest` turns
what the version before had into the present fields. A newer version is refused before anything else
of it is read. A bundle of each version is kept in test/sdiwm_model/golden, and held to the numbers
that it gave when it was made. The engine's and the encoder's files have versions of their own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import (
    atomic_path,
    check_format_version,
    read_json_object,
    sha256_of_file,
    write_json,
)
from sdiwm_model.planning.protocols import PlannerSettings
from sdiwm_model.sizes import ModelSize

if TYPE_CHECKING:
    from sdiwm_model.world_model import WorldModel

FORMAT_VERSION = 1
MANIFEST = "model.json"
WEIGHTS = "model.safetensors"
CARD, CARD_TEXT = "model_card.json", "MODEL_CARD.md"  # about a bundle, and no part of its hash
REMEDY = "fetch the bundle again, or make it anew with 'sdiwm train' and 'sdiwm export'"


@dataclass(frozen=True)
class Manifest:
    """What model.json says.

    task, size     names; ``sizes`` holds the widths of that size
    dt             seconds of one model step
    goals          names of the targets, in the order of the grounding logits
    action_limit   joint velocity at action 1, rad/s
    planner        default planner settings
    files          sha256 of every other file of the bundle, by name
    provenance     command, seed, commit and data that made the weights
    """

    task: str
    size: str
    sizes: ModelSize
    dt: float
    goals: tuple[str, ...]
    action_limit: tuple[float, ...]
    planner: PlannerSettings
    text_encoder: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def model_hash(self) -> str:
        """16 hexadecimal digits over the names and contents of the bundle's files."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Hash every file of ``folder`` but a model card, and write model.json, atomically."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    about = (MANIFEST, CARD, CARD_TEXT)
    digests = {name: sha256_of_file(folder / name) for name in names if name not in about}
    content = asdict(manifest) | {"format_version": FORMAT_VERSION, "files": digests}
    hashed = replace(manifest, files=digests)
    content |= {"model_hash": hashed.model_hash}
    write_json(folder / MANIFEST, content | {"checksum": _checksum(content)})


def read_manifest(folder: Path | str, check_files: bool = True) -> Manifest:
    """Read model.json and check the hash of every file that it names.

    Raises:
        SdiwmError: the folder or a file is missing, damaged, tampered with, or of another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SdiwmError(f"no model bundle at {folder}: give a folder that holds {MANIFEST}")
    if (folder / "wam.json").is_file():
        raise SdiwmError(f"{folder} holds a world-action model: give the bundle that it lies in")
    content = read_json_object(folder / MANIFEST, REMEDY)
    version = content.pop("format_version", None)
    again = "export the model again with this release"
    check_format_version(folder / MANIFEST, version, FORMAT_VERSION, again)
    checksum = content.pop("checksum", None)
    expected = _checksum(content | {"format_version": version})
    stated_hash = content.pop("model_hash", None)
    manifest = _manifest_from(content, folder / MANIFEST)
    if stated_hash != manifest.model_hash:
        raise SdiwmError(f"{folder / MANIFEST}: model_hash does not match 'files'; {REMEDY}")
    if checksum != expected:
        raise SdiwmError(
            f"{folder / MANIFEST} is damaged or was edited: its checksum differs; {REMEDY}"
        )
    if check_files:
        _check_files(folder, manifest)
    return manifest


def _checksum(content: dict[str, Any]) -> str:
    """SHA-256 over the fields of model.json other than itself."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest_from(content: dict[str, Any], path: Path) -> Manifest:
    try:
        sizes: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content["sizes"].items()
        }
        parsed: dict[str, Any] = {
            "sizes": ModelSize(**sizes),
            "goals": tuple(content["goals"]),
            "action_limit": tuple(content["action_limit"]),
            "planner": PlannerSettings(**content["planner"]),
            "files": dict(content["files"].items()),
        }
        return Manifest(**{**content, **parsed})
    except (KeyError, TypeError, AttributeError, SdiwmError) as error:
        raise SdiwmError(
            f"{path}: a field is missing or unknown ({error}); upgrade sdiwm_ros, or {REMEDY}"
        ) from None


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise SdiwmError(f"{path} is missing from the bundle; {REMEDY}")
        if sha256_of_file(path) != digest:
            raise SdiwmError(f"{path} is damaged or was changed: its sha256 differs; {REMEDY}")


def save_weights(path: Path, model: WorldModel) -> None:
    """Write a model's state dict as safetensors, atomically."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({n: t.contiguous() for n, t in model.state_dict().items()}))


def load_weights(path: Path, model: WorldModel) -> None:
    """Load a state dict written by `save_weights` into ``model``.

    Raises:
        SdiwmError: the file is missing, truncated, or belongs to a model of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing; {REMEDY}") from None
    except SafetensorError as error:
        raise SdiwmError(f"{path} is truncated or damaged ({error}); {REMEDY}") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise SdiwmError(f"{path} holds a model of another shape ({reason}); {REMEDY}") from None


def load_model(folder: Path | str) -> tuple[WorldModel, Manifest]:
    """The float model of a bundle, in evaluation mode, and its manifest."""
    from sdiwm_model.world_model import WorldModel

    manifest = read_manifest(folder)
    model = WorldModel(manifest.sizes)
    load_weights(Path(folder) / WEIGHTS, model)
    return model.eval(), manifest
