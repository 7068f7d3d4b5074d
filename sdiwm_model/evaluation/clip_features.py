"""Numbers that describe a clip, for distances between sets of them.

Each feature takes clips uint8 (N, T, H, W, 3) and returns float32 (N, width).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.evaluation.frechet import Clips
from sdiwm_model.planning.protocols import Array
from sdiwm_model.pretraining.encoder_file import load_encoder
from sdiwm_model.pretraining.tokens import PatchTokens, token_maker

CELLS = 4  # of a picture, along each edge
CHUNK = 32  # clips at a time
RANDOM_SEED = 20_180  # of weights that are never trained
RANDOM_CHANNELS = (3, 16, 32, 64)


def pixel_feature(clips: Clips) -> Array:
    """Mean colour of 4 x 4 parts of the picture, and how much each changes: width 96."""
    x = _floats(clips)
    cells = functional.adaptive_avg_pool3d(x, (x.shape[2], CELLS, CELLS))
    moved = functional.adaptive_avg_pool3d(x.diff(dim=2).abs(), (1, CELLS, CELLS))
    return torch.cat([cells.mean(dim=2).flatten(1), moved.flatten(1)], dim=1).numpy()


class RandomFeature:
    """Three layers of 3-D convolutions whose weights are random and always the same: width 128.

    Random networks order corruptions about as trained ones do (Naeem et al. 2020, section 4), and
    need no data: 3 x 3 pixels x 3 moments, every layer halves the picture; mean and standard
    deviation over space and time of the last.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(RANDOM_SEED)
        pairs = zip(RANDOM_CHANNELS[:-1], RANDOM_CHANNELS[1:], strict=True)
        self._weights = [
            torch.randn(out, inward, 3, 3, 3, generator=generator) * (2 / (27 * inward)) ** 0.5
            for inward, out in pairs
        ]

    @torch.inference_mode()
    def __call__(self, clips: Clips) -> Array:
        found = []
        for part in _chunks(clips):
            x = _floats(part)
            for weight in self._weights:
                x = functional.relu(functional.conv3d(x, weight, stride=(1, 2, 2), padding=1))
            std, mean = torch.std_mean(x.flatten(2), dim=2)
            found.append(torch.cat([mean, std], dim=1))
        return torch.cat(found).numpy()


class EncoderFeature:
    """A pre-trained image encoder: mean over the clip of its tokens, and of how much they change.

    Raises:
        SdiwmError: the folder is not what `sdiwm pretrain` wrote.
    """

    def __init__(self, folder: Path) -> None:
        encoder = load_encoder(folder)
        self._encoder = encoder

    @torch.inference_mode()
    def __call__(self, clips: Clips) -> Array:
        if clips.shape[2] != clips.shape[3]:
            raise SdiwmError("an encoder's feature needs pictures of one camera")
        tokens_of = token_maker(self._encoder.size_of(clips.shape[2]))
        self._encoder.put_into(tokens_of.image)
        found = []
        for part in _chunks(clips):
            tokens = _tokens(tokens_of, torch.from_numpy(part))
            found.append(torch.cat([tokens.mean(dim=1), tokens.diff(dim=1).abs().mean(dim=1)], 1))
        return torch.cat(found).numpy()


class I3DFeature:
    """The features of I3D, of which alone the distance is called FVD.

    Args:
        path: TorchScript file whose forward takes videos float32 (N, 3, T, H, W) of 0 to 255 and
            the keywords rescale, resize and return_features, as the one of Skorokhodov et al.
            (StyleGAN-V, 2022).

    Raises:
        SdiwmError: the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._network = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise SdiwmError(f"--i3d {path} is no TorchScript file ({reason})") from None
        self._path = path

    @torch.inference_mode()
    def __call__(self, clips: Clips) -> Array:
        found = []
        for part in _chunks(clips):
            video = torch.from_numpy(part).movedim(-1, 1).float()
            try:
                each = self._network(video, rescale=True, resize=True, return_features=True)
            except (RuntimeError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise SdiwmError(
                    f"--i3d {self._path} does not take {clips.shape[1]} pictures of "
                    f"{clips.shape[2]} x {clips.shape[3]} ({reason})"
                ) from None
            found.append(each.flatten(1))
        return torch.cat(found).float().numpy()


def _tokens(tokens_of: nn.Module, clips: Tensor) -> Tensor:
    """clips (N, T, H, W, 3) -> (N, T, width), a vision transformer's tokens as their mean."""
    tokens = tokens_of(clips.flatten(0, 1))
    whole = tokens.mean(dim=1) if isinstance(tokens_of, PatchTokens) else tokens.squeeze(1)
    return whole.unflatten(0, clips.shape[:2])


def _floats(clips: Clips) -> Tensor:
    """(N, T, H, W, 3) -> (N, 3, T, H, W) in [-1, 1]."""
    return torch.from_numpy(clips).movedim(-1, 1).float() / 127.5 - 1.0


def _chunks(clips: Clips) -> list[Clips]:
    return [clips[first : first + CHUNK] for first in range(0, len(clips), CHUNK)]
