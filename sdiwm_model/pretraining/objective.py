"""Latent prediction: from part of a clip's past, what an encoder would see in all the rest.

Bardes et al., "V-JEPA" (2024), and Assran et al., "I-JEPA" (2023): an encoder reads the places that
are seen of a clip's first pictures; a predictor guesses the tokens of the places that are hidden in
them (masked prediction) and of all pictures that follow (future prediction). The right answers are
the tokens of a second encoder, whose weights trail behind those of the first and which sees
everything. No pixel is drawn and no label is used.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.losses import variance_covariance_loss
from sdiwm_model.pretraining.masking import split_places
from sdiwm_model.pretraining.predictor import Predictor
from sdiwm_model.pretraining.protocols import Batch, Loss
from sdiwm_model.pretraining.settings import ObjectiveSettings
from sdiwm_model.pretraining.tokens import PatchTokens, grid_edge, token_maker
from sdiwm_model.sizes import ModelSize

ROUNDING = 1e-6  # share of the tokens' mean square below which a variance is none


class LatentPrediction:
    """The objective of one of ``every`` pictures of a clip, ``frames`` in all; see `Objective`.

    Patch tokens are compared after a normalisation of their own, as in V-JEPA. A convolutional
    encoder has one token a picture, compared in units of the micro-batch's standard deviation, so
    that what moves little counts as much as what moves far.

    Where the camera stands still, tokens that tell no more than their place are foreseen without
    error. The variance and covariance terms of VICReg forbid them: of what tokens differ by from
    the usual ones at their place, over the micro-batch.

    Args:
        size: of the world model whose image encoder is trained.
        updates: of the whole run, over which the trailing weights slow down to a stop.

    Raises:
        SdiwmError: the clip is too short, or the model has several cameras.
    """

    def __init__(
        self,
        size: ModelSize,
        settings: ObjectiveSettings,
        frames: int,
        every: int,
        updates: int,
    ) -> None:
        if size.cameras > 1:
            raise SdiwmError(
                f"model size field 'cameras' is {size.cameras}: video has one camera, and what is "
                "learned from it serves every camera; use 1"
            )
        self._past = round(settings.past * frames)
        if not 1 <= self._past < frames:
            raise SdiwmError(
                f"pre-training setting 'past' is {settings.past}: of clips of {frames} pictures "
                f"that leaves {self._past} to see; use between {1 / frames:.2g} and 1, below 1"
            )
        self._settings, self._updates = settings, updates
        self._frames, self._every = frames, every
        self._edge = grid_edge(size)
        self._encoder = token_maker(size)
        self._target = copy.deepcopy(self._encoder).requires_grad_(False)
        self._patches = isinstance(self._encoder, PatchTokens)
        width = size.vit_width if self._patches else size.features
        self._predictor = Predictor(
            width,
            settings.predictor_width,
            settings.predictor_depth,
            settings.predictor_heads,
            frames,
            self._edge if self._patches else 1,
        )

    def modules(self) -> nn.ModuleDict:
        return nn.ModuleDict({"encoder": self._encoder, "predictor": self._predictor})

    def targets(self) -> nn.ModuleDict:
        return nn.ModuleDict({"encoder": self._target})

    def loss(self, batch: Batch, step: int, generator: torch.Generator) -> Loss:
        clips = batch["image"][:, :: self._every]
        if clips.shape[1] != self._frames:
            raise ValueError(f"{clips.shape[1]} pictures of a clip; expected {self._frames}")
        share = self._settings.hidden
        split = split_places(len(clips), self._edge, share, generator)
        seen, hidden = (each.to(clips.device) for each in split)
        past = clips[:, : self._past].flatten(0, 1)
        read = self._encoder(past, seen.repeat_interleave(self._past, dim=0))
        with torch.no_grad():
            true = self._target(clips.flatten(0, 1)).unflatten(0, (len(clips), -1))
        asked = self._unseen(hidden)
        at = self._places(seen, 0, self._past)
        guessed = self._predictor(read.unflatten(0, (len(clips), -1)).flatten(1, 2), at, asked)
        right = self._comparable(true).flatten(1, 2)
        right = right.gather(1, asked.unsqueeze(-1).expand(-1, -1, right.shape[-1]))
        error = (guessed.float() - right).abs().mean(dim=(0, 2))
        masked = asked.shape[1] - self._future_places
        parts = {"future": error[masked:].mean(), "rank": participation_ratio(true)}
        if masked:
            parts["masked"] = error[:masked].mean()
        total = error.mean()
        if self._settings.anti_collapse_weight:
            usual = true.float().mean(dim=(0, 1))  # at each place, (places, W)
            usual = usual[seen if self._patches else seen.new_zeros(len(clips), 1)]
            varied = read.float() - usual.repeat_interleave(self._past, dim=0)
            parts["anti_collapse"] = variance_covariance_loss(varied)
            total = total + self._settings.anti_collapse_weight * parts["anti_collapse"]
        return Loss(total, parts)

    def after_update(self, step: int) -> None:
        """The target becomes m of itself and 1 - m of the encoder; m rises linearly to 1."""
        follow = (1.0 - self._settings.momentum) * (1.0 - step / self._updates)
        with torch.no_grad():
            for old, new in zip(self._target.parameters(), self._encoder.parameters(), strict=True):
                old.lerp_(new, follow)

    @property
    def _future_places(self) -> int:
        """Places of the pictures after the past."""
        each = self._edge**2 if self._patches else 1
        return (self._frames - self._past) * each

    def _places(self, chosen: Tensor, first: int, last: int) -> Tensor:
        """Numbers of the ``chosen`` places (B, n) in pictures first..last - 1 of the clip."""
        times = torch.arange(first, last, device=chosen.device)
        if not self._patches:
            return times.expand(len(chosen), -1)
        return (times[:, None] * self._edge**2 + chosen.unsqueeze(1)).flatten(1)

    def _unseen(self, hidden: Tensor) -> Tensor:
        """What the predictor is asked: (B, m), the past's places before the future's."""
        every = torch.arange(self._edge**2, device=hidden.device).expand(len(hidden), -1)
        past = self._places(hidden, 0, self._past)
        return torch.cat([past, self._places(every, self._past, self._frames)], dim=1)

    def _comparable(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, places, W) in float32, in the units that errors are measured in."""
        tokens = tokens.float()
        if self._patches:
            return functional.layer_norm(tokens, tokens.shape[-1:])
        std, mean = torch.std_mean(tokens, dim=(0, 1), keepdim=True)
        return (tokens - mean) / (std + 1e-3)


@torch.no_grad()
def participation_ratio(tokens: Tensor) -> Tensor:
    """(sum of eigenvalues)^2 / sum of their squares, of the covariance of tokens (B, T, places, W).

    Each place is centred on its own, since to tell places apart is no sight. The ratio is between
    1 and W, and never above the effective rank, exp of the entropy of the eigenvalues' shares:
    that needs the eigenvalues themselves, this is cheap enough for every update. Near 1 the
    encoder has collapsed.
    """
    tokens = tokens.float()
    flat = (tokens - tokens.mean(dim=(0, 1))).flatten(0, -2)
    covariance = flat.T @ flat
    rounding = ROUNDING * tokens.square().sum() + torch.finfo(torch.float32).tiny
    return covariance.trace().square() / (covariance.square().sum() + rounding.square())
