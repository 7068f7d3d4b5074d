"""Flow matching of two modalities: what is learned, and how a chunk is sampled."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sdiwm_model.wam.experts import KeyValue
from sdiwm_model.wam.model import Context, Denoised, Noisy, WorldActionModel
from sdiwm_model.wam.protocols import MODES, StepPair
from sdiwm_model.wam.schedule import passes

SKEW = 2.5  # of the actions' times towards noise: there it is decided what to do, here only how


@dataclass(frozen=True)
class Draw:
    """How often training sees each case, as shares of the chunks.

    blind_action   actions that see no future: mode "policy"
    blind_video    futures that see no actions: video passes of mode "inverse"
    prefix         chunks that begin with actions already committed, up to half of them
    clean_video    actions that see the future as it will be: mode "inverse"
    noise_video    actions that see a future of pure noise: mode "prefill"
    sparse         updates that show a random half of the future's tokens
    """

    blind_action: float = 0.25
    blind_video: float = 0.25
    prefix: float = 0.5
    clean_video: float = 0.15
    noise_video: float = 0.15
    sparse: float = 0.25

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes whose cases training shows at all."""
        shown = {
            "joint": True,
            "prefill": self.noise_video > 0.0,
            "inverse": self.clean_video > 0.0 and self.blind_video > 0.0,
            "policy": self.blind_action > 0.0,
        }
        return tuple(mode for mode in MODES if shown[mode])


@dataclass(frozen=True)
class NoisyPair:
    """Both modalities of B chunks as training shows them, and what is to be found in them.

    video_velocity (B, N, PATCH): data - noise; clean_action (B, H, A): the data.
    committed (B, H): actions of the prefix, which are given and not learned.
    """

    video: Noisy
    action: Noisy
    video_velocity: Tensor
    clean_action: Tensor
    committed: Tensor


@dataclass(frozen=True)
class FlowLoss:
    """Mean square errors of the future's velocity and of the clean actions, each a scalar."""

    video: Tensor
    action: Tensor


def draw_noisy(video: Tensor, action: Tensor, draw: Draw, generator: torch.Generator) -> NoisyPair:
    """Noise and times for the data: video (B, N, PATCH) tokens, action (B, H, A).

    x_t = (1 - t) noise + t data, whose velocity is data - noise (rectified flow, Liu et al. 2022,
    eq. 1). The times of the two are independent (UWM, Zhu et al. 2025), those of the actions mostly
    early; a committed prefix has t = 1 (training-time real-time chunking, Black et al. 2025).

    Of the future the velocity is learned, of the actions the data (Li and He 2025): their velocity
    (data - x_t) / (1 - t) follows, and the noise need not pass through the network to get there.
    """
    B, H, _ = action.shape

    def chance(share: float) -> Tensor:
        return torch.rand(B, generator=generator) < share

    def uniform() -> Tensor:
        return torch.rand(B, 1, generator=generator)

    case, t_video, t_action = uniform(), uniform(), uniform() ** SKEW
    t_video[case < draw.clean_video] = 1.0
    t_video[1.0 - case < draw.noise_video] = 0.0
    length = torch.randint(1, H // 2 + 1, (B,), generator=generator) * chance(draw.prefix)
    committed = torch.arange(H) < length[:, None]
    t_each = torch.where(committed, 1.0, t_action)
    sees_video, sees_action = ~chance(draw.blind_action), ~chance(draw.blind_video)
    kept = None
    if torch.rand((), generator=generator) < draw.sparse:
        kept = _any_half(B, video.shape[1], generator)
        video = video.gather(1, kept.unsqueeze(-1).expand(-1, -1, video.shape[2]))
    noise = [torch.randn(x.shape, generator=generator) for x in (video, action)]
    return NoisyPair(
        Noisy(_between(noise[0], video, t_video), t_video, sees=sees_action, kept=kept),
        Noisy(_between(noise[1], action, t_each), t_each, sees=sees_video),
        video - noise[0],
        action,
        committed,
    )


def _any_half(batch: int, tokens: int, generator: torch.Generator) -> Tensor:
    """Half of the tokens' numbers for each chunk, ascending, (batch, tokens // 2)."""
    order = torch.rand(batch, tokens, generator=generator).argsort(dim=1)
    return order[:, : max(1, tokens // 2)].sort(dim=1).values


def flow_loss(model: WorldActionModel, context: Context, c: Tensor, pair: NoisyPair) -> FlowLoss:
    """Errors of what ``model`` finds in ``pair``."""
    return flow_error(model.denoise(context, c, pair.video, pair.action), pair)


def flow_error(found: Denoised, pair: NoisyPair) -> FlowLoss:
    """The same of what was found; clean futures and committed actions do not count."""
    assert found.video is not None and found.action is not None
    learned = (pair.video.t < 1.0).float().unsqueeze(-1)
    video = _mean(found.video, pair.video_velocity, learned)
    free = (~pair.committed).float().unsqueeze(-1)
    return FlowLoss(video, _mean(found.action, pair.clean_action, free))


@dataclass(frozen=True)
class Sample:
    """actions (B, H, A); the future's tokens (B, N, PATCH), as far as the steps went."""

    actions: Tensor
    video: Tensor


def sample(
    model: WorldActionModel,
    context: Context,
    c: Tensor,
    noise: tuple[Tensor, Tensor],
    steps: StepPair,
    prefix: Tensor | None = None,
    kept: Tensor | None = None,
    one_step: bool = False,
) -> Sample:
    """Denoise B chunks by Euler steps along `schedule.passes`.

    Args:
        noise: of the future's tokens (B, N, PATCH) and of the actions (B, H, A).
        prefix: actions already committed, (B, k, A), which the result begins with.
        kept: the future's tokens that are imagined, (n,), ascending; the others stay as they are
            now. None for all.
        one_step: up to `schedule.FEW` action steps lead where their span is told to lead, as
            `distil.few_step_loss` teaches.
    """
    whole, action = noise
    video = whole if kept is None else whole[:, kept]
    given = 0 if prefix is None else prefix.shape[1]
    if prefix is not None:
        action = torch.cat([prefix, action[:, given:]], dim=1)
    free = (torch.arange(action.shape[1], device=action.device) >= given).to(action.dtype)
    read: list[KeyValue] | None = None
    for run in passes(steps):
        seen, acted = None, None
        if run.video_time is not None:
            seen = Noisy(video, torch.full((len(video), 1), run.video_time), kept=kept)
        if run.action_time is not None:
            t = torch.where(free > 0, run.action_time, 1.0).expand(len(action), -1)
            span = torch.full((len(action), 1), run.long_step if one_step else 0.0)
            acted = Noisy(action, t, span)
        found = model.denoise(context, c, seen, acted, read)
        read = found.read or None
        if found.video is not None:
            video = video + run.video_step * found.video
        if found.action is not None:
            action = action + run.action_share * free[:, None] * (found.action - action)
    if kept is not None:
        video = torch.zeros_like(whole).index_copy(1, kept, video)
    return Sample(action, video)


def _between(noise: Tensor, data: Tensor, t: Tensor) -> Tensor:
    t = t.unsqueeze(-1)
    return (1.0 - t) * noise + t * data


def _mean(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    error = functional.mse_loss(found, wanted, reduction="none") * weight
    return error.sum() / weight.expand_as(error).sum().clamp(min=1.0)
