"""The firmware of a bundle: its model, encoder and protocol in C++, compiled for a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdiwm_model.checkpoint import read_manifest
from sdiwm_model.compression.quantised_model import QuantisedModel, load_engine
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate
from sdiwm_model.export.encoder import Encoder, generate_encoder, load_encoder
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.image import build_image
from sdiwm_model.runtime.build import sources
from sdiwm_model.runtime.messages import WireSizes, generate_messages

MAX_CANDIDATES = 64
MAX_HORIZON = 16


@dataclass(frozen=True)
class Contents:
    """What a firmware is made from.

    model       the engine's integers
    model_hash  the bundle's, 16 hexadecimal digits
    encoder     None: pictures are encoded on the host
    """

    model: QuantisedModel
    model_hash: str
    encoder: Encoder | None = None

    @classmethod
    def of_bundle(cls, folder: Path) -> Contents:
        """Read a bundle; SdiwmError where a file is missing or damaged."""
        model = load_engine(folder / "engine.safetensors")
        return cls(model, read_manifest(folder).model_hash, load_encoder(folder, model))

    @property
    def hash_bytes(self) -> bytes:
        """The hash as the eight bytes of the handshake."""
        try:
            value = bytes.fromhex(self.model_hash)
        except ValueError:
            value = b""
        if len(value) != 8:
            raise SdiwmError(f"The model hash '{self.model_hash}' is not 16 hexadecimal digits.")
        return value

    @property
    def wire_sizes(self) -> WireSizes:
        """Sizes of the firmware's protocol."""
        return WireSizes.of(self.model, MAX_CANDIDATES, MAX_HORIZON)


def generated_sources(contents: Contents) -> dict[str, str]:
    """model.hpp, model.cpp, messages.hpp, encoder.hpp; with an encoder vision.hpp and .cpp."""
    messages = generate_messages(contents.wire_sizes, contents.hash_bytes)
    made = generate(contents.model, MAX_CANDIDATES, MAX_HORIZON) | {"messages.hpp": messages}
    return made | generate_encoder(contents.encoder)


def build_firmware(contents: Contents, board: Board, within_budget: bool = True) -> Path:
    """The ELF image of a bundle's firmware, from the cache if there; see `build_image`."""
    made = generated_sources(contents)
    return build_image(board, [sources() / "firmware.cpp"], made, within_budget=within_budget)
