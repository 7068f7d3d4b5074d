"""Latents back into pictures, so that a person can watch what a model imagines.

The decoder is fitted afterwards to the latents of a frozen encoder. It is no part of a bundle:
no planner ever sees it, and nothing that it learns reaches the model.
"""

from __future__ import annotations

import math
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
PATCH = 4  # pixels of a place, each way
POINTS = 16  # things that can be anywhere
WAVES = (1, 2, 4)  # half waves of the places' coordinates across the picture
BROAD = 0.3  # of a point's influence at first, in half pictures
BATCH = 32
LEARNING_RATE = 5e-3
FOREGROUND = 8.0
"""Weight of pixels that differ from the mean picture: else small objects are not worth drawing."""
REMEDY = "remove the file to have it made again"


class Decoder(nn.Module):
    """Latents -> pictures, as what is to be added to the usual picture.

    The picture is cut into places of 4 x 4 pixels. Each sees z, its own coordinates, and how far
    away and on which side of it some points are, whose coordinates are read from z; one small
    network gives the pixels of every place. The points make small things easy to put anywhere
    (Jakab et al. 2018); the coordinates alone are the spatial broadcast decoder of Watters et al.
    (2019), which needed ten times the updates to draw a puck.

    Args:
        latent: width of z.
        usual: (S, S, 3 * cameras) the usual picture, 0 to 1; S is a multiple of 4.
    """

    places: Tensor
    usual: Tensor

    def __init__(self, latent: int, usual: Tensor) -> None:
        super().__init__()
        size, _, channels = usual.shape
        if size % PATCH:
            raise SdiwmError(f"a picture of {size} pixels cannot be decoded: use a multiple of 4")
        self.register_buffer("usual", usual)
        self.register_buffer("places", _places(size // PATCH), persistent=False)
        self.scene = nn.Sequential(nn.Linear(latent, 2 * WIDTH), nn.ReLU())
        self.points = nn.Linear(2 * WIDTH, 2 * POINTS)
        self.log_reach = nn.Parameter(torch.full((POINTS,), math.log(BROAD)))
        self.from_scene = nn.Linear(2 * WIDTH, WIDTH)
        self.from_place = nn.Linear(2 + 4 * len(WAVES), WIDTH)
        self.from_points = nn.Linear(3 * POINTS, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.pixels = nn.Linear(WIDTH, PATCH * PATCH * channels)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, Z) -> pictures (B, S, S, 3 * cameras), 0 to 1 where they are right."""
        scene = self.scene(z)
        x = self.from_scene(scene)[:, None] + self.from_place(_waves(self.places))
        x = self.hidden(functional.relu(x + self.from_points(self._near_points(scene))))
        patches = self.pixels(functional.relu(x))  # (B, edge * edge, PATCH * PATCH * channels)
        edge = len(self.usual) // PATCH
        patches = patches.unflatten(1, (edge, edge)).unflatten(3, (PATCH, PATCH, -1))
        return self.usual + patches.transpose(2, 3).reshape(len(z), *self.usual.shape)

    def _near_points(self, scene: Tensor) -> Tensor:
        """What every place feels of every point: (B, places, 3 * POINTS)."""
        points = self.points(scene).unflatten(1, (POINTS, 2))
        away = (self.places[:, None] - points[:, None]) / self.log_reach.exp()[:, None]
        felt = torch.exp(-0.5 * away.square().sum(dim=-1, keepdim=True))
        return torch.cat([felt, felt * away], dim=-1).flatten(2)

    @torch.inference_mode()
    def draw(self, latents: Array) -> NDArray[np.uint8]:
        """Latents (N, Z) -> pictures uint8 (N, S, S, 3 * cameras)."""
        pictures = self(torch.tensor(latents)).clamp(0, 1) * 255
        return pictures.round().to(torch.uint8).numpy()


def _places(edge: int) -> Tensor:
    """The centres of edge x edge places, row by row: (edge * edge, 2) in (-1, 1)."""
    axis = torch.linspace(-1.0, 1.0, edge) * (1 - 1 / edge)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)


def _waves(places: Tensor) -> Tensor:
    """Coordinates and waves of them: (places, 2 + 4 * waves)."""
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
