"""The firmware of a bundle: its model and protocol in C++, compiled for a board."""

from __future__ import annotations

from pathlib import Path

from sdiwm_model.compression.quantised_model import QuantisedModel
from sdiwm_model.errors import SdiwmError
from sdiwm_model.export.codegen import generate
from sdiwm_model.firmware.boards import Board
from sdiwm_model.firmware.image import build_image
from sdiwm_model.runtime.build import sources
from sdiwm_model.runtime.messages import WireSizes, generate_messages

MAX_CANDIDATES = 64
MAX_HORIZON = 16


def model_hash_bytes(model_hash: str) -> bytes:
    """The manifest's hash as the eight bytes of the handshake."""
    try:
        value = bytes.fromhex(model_hash)
    except ValueError:
        value = b""
    if len(value) != 8:
        raise SdiwmError(f"The model hash '{model_hash}' is not 16 hexadecimal digits.")
    return value


def wire_sizes(q: QuantisedModel) -> WireSizes:
    """Sizes of the firmware's protocol for this model."""
    return WireSizes.of(q, MAX_CANDIDATES, MAX_HORIZON)


def generated_sources(q: QuantisedModel, model_hash: str) -> dict[str, str]:
    """model.hpp, model.cpp and messages.hpp."""
    messages = generate_messages(wire_sizes(q), model_hash_bytes(model_hash))
    return generate(q, MAX_CANDIDATES, MAX_HORIZON) | {"messages.hpp": messages}


def build_firmware(q: QuantisedModel, model_hash: str, board: Board) -> Path:
    """The ELF image of a bundle's firmware, from the cache if there."""
    return build_image(board, [sources() / "firmware.cpp"], generated_sources(q, model_hash))
