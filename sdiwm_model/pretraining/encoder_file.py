"""What pre-training leaves behind: the weights of an image encoder, and where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
from sdiwm_model.sizes import ModelSize

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT_VERSION = 1
MANIFEST = "pretraining.json"
WEIGHTS = "encoder.safetensors"
REMEDY = "fetch the folder again, or make it anew with 'sdiwm pretrain'"
KIND = {
    "vit": ("encoder", "patch", "vit_width", "vit_depth", "vit_heads"),
    "keypoints": ("encoder", "channels", "keypoints"),
    "mobilenet": ("encoder", "channels", "keypoints"),
}
"""Fields of the size that the weights depend on: the picture's edge is not among them."""
UNTRAINED = ("score.", "value.")  # a vision transformer's readers, of which video asks nothing


@dataclass(frozen=True)
class PretrainedEncoder:
    """The weights of one camera's encoder, by name, and what pretraining.json says of them.

    model_hash    16 hexadecimal digits of the weights' SHA-256
    provenance    command, seed, commit, data, settings and the effective rank of the tokens
    """

    weights: dict[str, Tensor]
    size: dict[str, Any]
    model_hash: str
    provenance: dict[str, Any]

    def size_of(self, image_size: int) -> ModelSize:
        """The size of a model with this encoder, for square pictures of ``image_size`` pixels."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.size.items()
        }
        return ModelSize(image_size=image_size, **values)

    def check_fits(self, size: ModelSize, source: Path) -> None:
        """Refuse a model whose image encoder has other widths.

        Raises:
            SdiwmError: naming the field of the size.
        """
        for name in KIND[self.size["encoder"]]:
            wanted, found = asdict(size)[name], self.size[name]
            found = tuple(found) if isinstance(found, list) else found
            if wanted != found:
                raise SdiwmError(
                    f"training setting 'size.{name}' is {wanted}, but {source} was pre-trained "
                    f"with {found}: set size.{name}={str(found).replace(' ', '').strip('()')}, or "
                    "start without it"
                )

    def put_into(self, vision: nn.Module) -> None:
        """Load the weights into a model's image branch; every camera gets the same."""
        from sdiwm_model.encoder import Cameras
        from sdiwm_model.vision_transformer import VisionTransformer

        for each in vision if isinstance(vision, Cameras) else [vision]:
            weights = dict(self.weights)
            if isinstance(each, VisionTransformer):
                weights["cameras"] = weights["cameras"].expand_as(each.cameras)
            missing, unknown = each.load_state_dict(weights, strict=False)
            if unknown or not all(name.startswith(UNTRAINED) for name in missing):
                raise SdiwmError(f"the pre-trained encoder lacks {missing + unknown}; {REMEDY}")


def is_pretrained(folder: Path) -> bool:
    """Whether `sdiwm pretrain` wrote ``folder``."""
    return (folder / MANIFEST).is_file()


def save_encoder(
    folder: Path, weights: Mapping[str, Tensor], size: ModelSize, provenance: Mapping[str, Any]
) -> None:
    """Write weights and manifest, atomically; the readers of a vision transformer are left out."""
    from safetensors.torch import save

    trained = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in weights.items()
        if not name.startswith(UNTRAINED)
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(trained))
    content = {
        "format_version": FORMAT_VERSION,
        "size": {name: asdict(size)[name] for name in KIND[size.encoder]},
        "files": {WEIGHTS: sha256_of_file(folder / WEIGHTS)},
        "provenance": dict(provenance),
    }
    write_json(folder / MANIFEST, content | {"checksum": _checksum(content)})


def load_encoder(folder: Path) -> PretrainedEncoder:
    """Read what `save_encoder` wrote.

    Raises:
        SdiwmError: a file is missing, damaged or of another version.
    """
    from safetensors.torch import load_file

    path = folder / MANIFEST
    content = read_json_object(path, REMEDY)
    check_format_version(path, content.get("format_version"), FORMAT_VERSION, REMEDY)
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise SdiwmError(f"{path} is damaged or was edited: its checksum differs; {REMEDY}")
    digest = content["files"][WEIGHTS]
    if not (folder / WEIGHTS).is_file() or sha256_of_file(folder / WEIGHTS) != digest:
        raise SdiwmError(f"{folder / WEIGHTS} is missing or damaged; {REMEDY}")
    return PretrainedEncoder(
        load_file(folder / WEIGHTS), content["size"], digest[:16], content["provenance"]
    )


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
