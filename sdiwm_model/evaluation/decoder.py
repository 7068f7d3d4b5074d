"""Latents back into pictures, so that a person can watch what a model imagines.

The decoder is fitted afterwards to the latents of a frozen encoder. It is no part of a bundle:
no planner ever sees it, and nothing that it learns reaches the model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.files import atomic_path
from sdiwm_model.planning.protocols import Array

WIDTHS = (64, 48, 32, 16)  # channels at 1/16, 1/8, 1/4 and 1/2 of the picture's size
BATCH = 64
LEARNING_RATE = 3e-3
FOREGROUND = 8.0
"""Weight of pixels that differ from the mean picture: else small objects are not worth drawing."""
REMEDY = "remove the file to have it made again"


class Decoder(nn.Module):
    """A fully connected layer and four transposed convolutions: z (B, Z) -> (B, S, S, 3 * cameras).

    Args:
        latent: width of z.
        size: edge of the picture, a multiple of 16.
        channels: 3 for each camera.
    """

    def __init__(self, latent: int, size: int, channels: int) -> None:
        super().__init__()
        if size % 16:
            raise SdiwmError(f"a picture of {size} pixels cannot be decoded: use a multiple of 16")
        self.edge = size // 16
        self.first = nn.Linear(latent, 4 * WIDTHS[0])
        self.spread = nn.Linear(4 * WIDTHS[0], WIDTHS[0] * self.edge**2)
        outward = (*WIDTHS[1:], channels)
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)
            for a, b in zip(WIDTHS, outward, strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """z (B, Z) -> pictures (B, S, S, 3 * cameras), 0 to 1 where they are right."""
        x = self.spread(functional.relu(self.first(z)))
        x = x.unflatten(1, (WIDTHS[0], self.edge, self.edge))
        for layer in self.layers:
            x = layer(functional.relu(x))
        return (x + 0.5).permute(0, 2, 3, 1)

    @torch.inference_mode()
    def draw(self, latents: Array) -> NDArray[np.uint8]:
        """Latents (N, Z) -> pictures uint8 (N, S, S, 3 * cameras)."""
        pictures = self(torch.tensor(latents)).clamp(0, 1) * 255
        return pictures.round().to(torch.uint8).numpy()


def train_decoder(
    latents: Array,
    pictures: NDArray[np.uint8],
    steps: int,
    seed: int,
    report: Callable[[float], None] = lambda loss: None,
) -> Decoder:
    """Fit a decoder to latents (N, Z) of pictures (N, S, S, C) by squared error.

    Args:
        report: told the loss after each step.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(latents.shape[1], pictures.shape[1], pictures.shape[3])
    usual = torch.from_numpy(np.median(pictures[:: max(1, len(pictures) // 500)], axis=0)) / 255
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for _ in range(steps):
        chosen = torch.randint(len(latents), (BATCH,), generator=generator).numpy()
        true = torch.from_numpy(pictures[chosen]) / 255
        weight = 1 + FOREGROUND * (true - usual).abs().amax(dim=-1, keepdim=True)
        loss = (weight * (decoder(torch.from_numpy(latents[chosen])) - true).square()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        report(loss.item())
    return decoder.eval()


def save_decoder(path: Path, decoder: Decoder, model_hash: str) -> None:
    """Write a decoder and the hash of the bundle whose latents it reads, atomically."""
    from safetensors.torch import save

    shape = {"latent": decoder.first.in_features, "size": 16 * decoder.edge}
    shape["channels"] = decoder.layers[-1].out_channels  # type: ignore[assignment]
    facts = {name: str(value) for name, value in shape.items()} | {"model_hash": model_hash}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(decoder.state_dict(), facts))


def load_decoder(path: Path, model_hash: str) -> Decoder:
    """Read what `save_decoder` wrote.

    Raises:
        SdiwmError: the file is damaged, or decodes the latents of another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shape = [int(facts[name]) for name in ("latent", "size", "channels")]
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise SdiwmError(f"{path} holds no readable decoder ({error}); {REMEDY}") from None
    if facts.get("model_hash") != model_hash:
        raise SdiwmError(
            f"{path} decodes model {facts.get('model_hash')}, this is {model_hash}; {REMEDY}"
        )
    decoder = Decoder(*shape)
    decoder.load_state_dict(weights)
    return decoder.eval()
