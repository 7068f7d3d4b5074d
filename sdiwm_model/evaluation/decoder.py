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

WIDTH = 64  # hidden units of a place
CHANNELS = 24  # at half the picture's size
COARSE = 4  # pixels between two places, each way
WAVES = (1, 2, 4)  # half waves of the places' coordinates across the picture
BATCH = 64
LEARNING_RATE = 3e-3
FOREGROUND = 8.0
"""Weight of pixels that differ from the mean picture: else small objects are not worth drawing."""
REMEDY = "remove the file to have it made again"


class Decoder(nn.Module):
    """Latents -> pictures, as what is to be added to the usual picture.

    Every place of a coarse grid sees z and its own coordinates, so that what was learnt of a thing
    in one place holds in another (the spatial broadcast decoder of Watters et al. 2019); two
    transposed convolutions then give pixels.

    Args:
        latent: width of z.
        usual: (S, S, 3 * cameras) the usual picture, 0 to 1; S is a multiple of 4.
    """

    grid: Tensor
    usual: Tensor

    def __init__(self, latent: int, usual: Tensor) -> None:
        super().__init__()
        size, _, channels = usual.shape
        if size % COARSE:
            raise SdiwmError(f"a picture of {size} pixels cannot be decoded: use a multiple of 4")
        self.register_buffer("usual", usual)
        self.register_buffer("grid", _places(size // COARSE), persistent=False)
        self.scene = nn.Sequential(nn.Linear(latent, 2 * WIDTH), nn.ReLU())
        self.scene_to_place = nn.Linear(2 * WIDTH, WIDTH)
        self.place = nn.Linear(self.grid.shape[-1], WIDTH)
        self.hidden = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.to_half = nn.ConvTranspose2d(WIDTH, CHANNELS, 4, stride=2, padding=1)
        self.to_full = nn.ConvTranspose2d(CHANNELS, channels, 4, stride=2, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, Z) -> pictures (B, S, S, 3 * cameras), 0 to 1 where they are right."""
        x = self.scene_to_place(self.scene(z))[:, None] + self.place(self.grid)
        for layer in self.hidden:
            x = layer(functional.relu(x))
        edge = len(self.usual) // COARSE
        x = functional.relu(x).transpose(1, 2).unflatten(2, (edge, edge))
        x = self.to_full(functional.relu(self.to_half(x)))
        return self.usual + x.permute(0, 2, 3, 1)

    @torch.inference_mode()
    def draw(self, latents: Array) -> NDArray[np.uint8]:
        """Latents (N, Z) -> pictures uint8 (N, S, S, 3 * cameras)."""
        pictures = self(torch.tensor(latents)).clamp(0, 1) * 255
        return pictures.round().to(torch.uint8).numpy()


def _places(edge: int) -> Tensor:
    """Coordinates in [-1, 1] and waves of them: (edge * edge, 2 + 4 * waves)."""
    axis = torch.linspace(-1.0, 1.0, edge)
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)
    waves = [wave(torch.pi * k * places) for k in WAVES for wave in (torch.sin, torch.cos)]
    return torch.cat([places, *waves], dim=-1)


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
    some = pictures[:: max(1, len(pictures) // 500)]
    usual = torch.from_numpy(np.median(some, axis=0).astype(np.float32) / 255)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(latents.shape[1], usual)
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

    facts = {"model_hash": model_hash}
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
        decoder = Decoder(weights["scene.0.weight"].shape[1], weights["usual"])
        decoder.load_state_dict(weights)
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        raise SdiwmError(f"{path} holds no readable decoder ({error}); {REMEDY}") from None
    if facts.get("model_hash") != model_hash:
        raise SdiwmError(
            f"{path} decodes model {facts.get('model_hash')}, this is {model_hash}; {REMEDY}"
        )
    return decoder.eval()
