"""A world-action model on disk: the folder ``wam`` of the bundle whose encoder it stands on.

wam.json, wam.safetensors (float16) and what is exported from them. A release reads what every
one since version 2 wrote; what came before had no anchor, and is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdiwm_model.checkpoint import Manifest
from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import (
    atomic_path,
    check_format_version,
    read_json_object,
    sha256_of_file,
    write_json,
)
from sdiwm_model.wam.protocols import MODES, StepPair
from sdiwm_model.wam.sizes import WamSize

if TYPE_CHECKING:
    from sdiwm_model.wam.model import WorldActionModel

FORMAT_VERSION = 2
FOLDER = "wam"
MANIFEST = "wam.json"
WEIGHTS = "wam.safetensors"
KIND = "world-action model"
REMEDY = "fetch the bundle again, or train it anew with 'sdiwm wam'"


@dataclass(frozen=True)
class WamManifest:
    """What wam.json says.

    size        widths
    base        hash of the bundle whose encoder made what it was trained on
    steps       what a chunk is denoised by where nobody says otherwise
    modes       those of `protocols.MODES` that training has shown it
    one_step    whether its action steps may be long: it was distilled to jump
    files       sha256 of every other file of the folder, by name
    provenance  command, seed, commit and data that made the weights
    """

    size: WamSize
    base: str
    steps: StepPair = field(default_factory=StepPair)
    modes: tuple[str, ...] = MODES
    one_step: bool = False
    files: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def check_steps(self, steps: StepPair) -> None:
        """SdiwmError unless the model was trained for the mode of ``steps``."""
        if steps.mode not in self.modes:
            raise SdiwmError(
                f"this world-action model was not trained for mode '{steps.mode}': "
                f"choose one of {', '.join(self.modes)}"
            )


def save_wam(folder: Path, model: WorldActionModel, manifest: WamManifest) -> None:
    """Write the weights in float16 and a manifest of all files of ``folder``, each atomically."""
    import torch
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    weights = {n: t.to(torch.float16).contiguous() for n, t in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(weights))
    write_wam_manifest(folder, manifest)


def write_wam_manifest(folder: Path, manifest: WamManifest, without: Collection[str] = ()) -> None:
    """Hash every file of ``folder``, but those ``without``, and write wam.json, atomically."""
    names = {p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}
    listed = sorted(names.difference(without, [MANIFEST]))
    digests = {name: sha256_of_file(folder / name) for name in listed}
    content = {"format_version": FORMAT_VERSION, "kind": KIND}
    write_json(folder / MANIFEST, content | asdict(manifest) | {"files": digests})


def read_wam_manifest(bundle: Path, base: Manifest) -> WamManifest:
    """The manifest of the world-action model in ``bundle``, whose own manifest is ``base``.

    Raises:
        SdiwmError: there is none, a file is missing, damaged or of a newer format, or it stands on
            another bundle's encoder.
    """
    folder = bundle / FOLDER
    if not folder.is_dir():
        raise SdiwmError(
            f"{bundle} holds no world-action model: train one with 'sdiwm wam', "
            "or choose another back end"
        )
    path = folder / MANIFEST
    content = read_json_object(path, REMEDY)
    check_format_version(path, content.pop("format_version", None), FORMAT_VERSION, REMEDY)
    kind = content.pop("kind", None)
    if kind != KIND:
        raise SdiwmError(f"{path} is of kind {kind!r}, not a {KIND}; {REMEDY}")
    manifest = _manifest_from(content, path)
    if manifest.base != base.model_hash:
        raise SdiwmError(
            f"{path} stands on the encoder of bundle {manifest.base}, this one is "
            f"{base.model_hash}: train it again with 'sdiwm wam'"
        )
    _check_size(manifest.size, base, path)
    for name, digest in manifest.files.items():
        if not (folder / name).is_file():
            raise SdiwmError(f"{folder / name} is missing; {REMEDY}")
        if sha256_of_file(folder / name) != digest:
            raise SdiwmError(f"{folder / name} is damaged or was changed: {REMEDY}")
    return manifest


def load_wam(bundle: Path, base: Manifest) -> tuple[WorldActionModel, WamManifest]:
    """The world-action model of ``bundle`` in float32, in evaluation mode, and its manifest.

    Raises SdiwmError as `read_wam_manifest`, or where the weights are those of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from sdiwm_model.wam.model import WorldActionModel

    manifest = read_wam_manifest(bundle, base)
    path = bundle / FOLDER / WEIGHTS
    model = WorldActionModel(manifest.size)
    try:
        model.load_state_dict({n: t.float() for n, t in load_file(path).items()})
    except FileNotFoundError:
        raise SdiwmError(f"{path} is missing; {REMEDY}") from None
    except SafetensorError as error:
        raise SdiwmError(f"{path} is truncated or damaged ({error}); {REMEDY}") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise SdiwmError(f"{path} holds a model of another shape ({reason}); {REMEDY}") from None
    return model.eval(), manifest


def _check_size(size: WamSize, base: Manifest, path: Path) -> None:
    """SdiwmError unless the widths are those of the bundle's encoder and robot."""
    for name in ("latent", "features", "proprio", "action", "conditioning"):
        found, wanted = getattr(size, name), getattr(base.sizes, name)
        if found != wanted:
            raise SdiwmError(f"{path}: {name} is {found}, the bundle's is {wanted}; {REMEDY}")


def _manifest_from(content: dict[str, Any], path: Path) -> WamManifest:
    try:
        parsed: dict[str, Any] = {
            "size": WamSize(**content["size"]),
            "steps": StepPair(**content["steps"]),
            "modes": tuple(content["modes"]),
            "files": dict(content["files"].items()),
        }
        return WamManifest(**{**content, **parsed})
    except (KeyError, TypeError, AttributeError, SdiwmError) as error:
        raise SdiwmError(
            f"{path}: a field is missing or unknown ({error}); upgrade sdiwm_ros, or {REMEDY}"
        ) from None
