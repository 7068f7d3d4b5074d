"""Losses by which a compact model learns from a larger one, few steps from many, and a ranking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.experts import norm
from sdiwm_model.wam.flow import NoisyPair, sample
from sdiwm_model.wam.model import Context, Denoised, WorldActionModel
from sdiwm_model.wam.noise import video_noise
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.sizes import PATCH, WamSize

SHARED = ("latent", "features", "proprio", "action", "conditioning", "chunk", "frames")


@dataclass(frozen=True)
class Distilled:
    """How far a student is from its teacher on the same noisy tokens, each a scalar.

    hidden   mean square of what a projection of the student's future tokens leaves of the
             teacher's normalised ones, mean over layers (FitNets, Romero et al. 2015, eq. 3)
    motion   mean square difference of the imagined motion, from each moment to the next
    video    mean square difference of its velocity
    action   of the clean actions
    """

    hidden: Tensor
    motion: Tensor
    video: Tensor
    action: Tensor


class Projections(nn.ModuleList):
    """From each layer of a student's video expert to the teacher's layer at the same depth."""

    def __init__(self, student: WamSize, teacher: WamSize) -> None:
        super().__init__(
            nn.Linear(student.video_width, teacher.video_width) for _ in range(student.depth)
        )
        self._depth = teacher.depth

    def loss(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Hidden tokens of all layers of both, (B, N, width)."""
        errors = []
        for i, (layer, hidden) in enumerate(zip(self, student, strict=True)):
            target = teacher[(i + 1) * self._depth // len(self) - 1]
            errors.append(functional.mse_loss(layer(hidden), norm(target)))
        return torch.stack(errors).mean()


def check_teacher(student: WorldActionModel, teacher: WorldActionModel) -> None:
    """Raise SdiwmError unless both read and write the same numbers in the same units."""
    for name in SHARED:
        mine, its = getattr(student.size, name), getattr(teacher.size, name)
        if mine != its:
            raise SdiwmError(f"the teacher's {name} is {its}, the student's {mine}: make them one")
    pairs = (
        (student.observation.mean, teacher.observation.mean),
        (student.observation.std, teacher.observation.std),
        (student.future.scale, teacher.future.scale),
    )
    if not all(torch.allclose(mine, its, rtol=1e-2, atol=1e-4) for mine, its in pairs):
        raise SdiwmError("teacher and student stand on other data: train both on the same folders")


def distillation_loss(
    student: WorldActionModel,
    found: Denoised,
    wanted: Denoised,
    projections: Projections,
    pair: NoisyPair,
) -> Distilled:
    """Compare what the student ``found`` on ``pair`` with its teacher's ``wanted``."""
    assert found.video is not None and wanted.video is not None
    assert found.action is not None and wanted.action is not None
    learned = (pair.video.t < 1.0).float().unsqueeze(-1)
    free = (~pair.committed).float().unsqueeze(-1)
    error = learned * (found.video - wanted.video)
    return Distilled(
        hidden=projections.loss(found.hidden, wanted.hidden),
        motion=_motion(student, pair, error),
        video=error.square().sum() / (learned.sum() * error[0].numel()).clamp(min=1.0),
        action=(free * (found.action - wanted.action)).square().sum()
        / (free.sum() * found.action.shape[-1]).clamp(min=1.0),
    )


def _motion(model: WorldActionModel, pair: NoisyPair, error: Tensor) -> Tensor:
    """Mean square difference of the clean futures' changes from one moment to the next.

    x_1 = x_t + (1 - t) v, so that two velocities that differ by ``error`` imagine futures that
    differ by (1 - t) error; in units of what the change to the first moment is in the data.
    """
    clean = (1.0 - pair.video.t.unsqueeze(-1)) * error
    if pair.video.kept is not None:
        whole = clean.new_zeros(len(clean), model.size.video_tokens, PATCH)
        clean = whole.scatter(1, pair.video.kept.unsqueeze(-1).expand_as(clean), clean)
    scale = model.future.scale
    moments = clean.unflatten(1, (model.size.frames, -1)).flatten(2) * scale
    moved = torch.diff(moments, dim=1, prepend=torch.zeros_like(moments[:, :1]))
    return (moved / scale[0]).square().mean()


def few_step_parameters(model: WorldActionModel) -> Iterator[nn.Parameter]:
    """What `few_step_loss` trains: the action expert, while the future stays as it is imagined."""
    yield from model.action_expert.parameters()
    yield from model.actions.parameters()


def few_step_loss(
    student: WorldActionModel,
    teacher: WorldActionModel,
    contexts: tuple[Context, Context],
    c: Tensor,
    noise: Tensor,
    fast: StepPair,
    slow: StepPair,
    prefix: Tensor | None = None,
) -> Tensor:
    """Mean square difference of a chunk in few long steps from the teacher's in many short ones.

    Both start from the same noise (Luhman & Luhman 2021, eq. 5). The student's velocity is told how
    far it will be followed, and so becomes the mean velocity over that span (MeanFlow, Geng et al.
    2025, eq. 3), here as the teacher's own path gives it. A span of 0 keeps the plain velocity:
    add `flow.flow_loss` to hold on to it.

    Args:
        noise: of the actions, (B, H, A); the future starts from what engines start it from.
        prefix: actions already committed, (B, k, A).
    """
    video = torch.from_numpy(video_noise(student.size)).expand(len(noise), -1, -1)
    with torch.no_grad():
        target = sample(teacher, contexts[1], c, (video, noise), slow, prefix).actions
    found = sample(student, contexts[0], c, (video, noise), fast, prefix, one_step=True).actions
    given = 0 if prefix is None else prefix.shape[1]
    return functional.mse_loss(found[:, given:], target[:, given:])


def ranking_loss(model: WorldActionModel, context: Context, c: Tensor, pair: NoisyPair) -> Tensor:
    """Cross-entropy of the ranker's softmax with what each token of the future is worth.

    Worth is the first-order change of the actions' loss where the token's values were not there,
    |sum v dL/dv| over all layers (Taylor criterion, Molchanov et al. 2017, eq. 9); it is an
    estimate that needs no further pass. Chunks of which every action is blind teach nothing.

    Args:
        pair: of the whole future; ``kept`` must be None.
    """
    scores = model.rank(context, c)
    video = replace(pair.video, x=pair.video.x.detach().requires_grad_())
    with torch.enable_grad():
        found = model.denoise(context, c, video, pair.action)
        assert found.action is not None
        error = (found.action - pair.clean_action).square().mean(dim=-1)
        values = [v for _, v in found.read]
        gradients = torch.autograd.grad((error * ~pair.committed).sum(), values)
    parts = [(g * v).sum(dim=(1, 3)) for g, v in zip(gradients, values, strict=True)]
    worth = torch.stack(parts).sum(dim=0).detach().abs()
    total = worth.sum(dim=1, keepdim=True)
    target = worth / total.clamp(min=torch.finfo(worth.dtype).tiny)
    return -(target * functional.log_softmax(scores, dim=1)).sum() / (total > 0).sum().clamp(min=1)
