"""What a world-action model is taught, in the order of its stages."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from sdiwm_model.wam.distil import (
    Projections,
    distillation_loss,
    few_step_loss,
    few_step_parameters,
    ranking_loss,
)
from sdiwm_model.wam.experience import Chunks, Demonstrations, draw_chunks
from sdiwm_model.wam.flow import NoisyPair, draw_noisy, flow_error, flow_loss
from sdiwm_model.wam.model import Context, WorldActionModel
from sdiwm_model.wam.optimise import Loss, Stage
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.settings import WamConfig

FEW_AND_MANY = (
    (StepPair(1, 1), StepPair(1, 8)),
    (StepPair(1, 2), StepPair(1, 8)),
    (StepPair(1, 4), StepPair(1, 8)),
    (StepPair(2, 1), StepPair(2, 8)),
    (StepPair(0, 1, "prefill"), StepPair(0, 8, "prefill")),
    (StepPair(0, 1, "policy"), StepPair(0, 8, "policy")),
    (StepPair(2, 1, "inverse"), StepPair(2, 8, "inverse")),
)
"""Which steps the few-step head learns to take, and those whose result it is to reach."""


def anchor_stage(model: WorldActionModel, data: Demonstrations, config: WamConfig) -> Stage:
    """What can be told from the newest observation alone, which is most: without any noise.

    What the other stages add is read by attention: the window, the future and the prefix.
    """
    return Stage(
        number=0,
        name="anchor",
        before=0,
        updates=config.anchor_updates,
        rate=config.anchor_rate,
        model=model,
        modules=nn.ModuleDict({"model": model}),
        trained=list(model.anchor.parameters()),
        loss=lambda generator: anchor_loss(model, data, config, generator),
    )


def anchor_loss(
    model: WorldActionModel, data: Demonstrations, config: WamConfig, generator: torch.Generator
) -> Loss:
    """Error of the actions that the anchor alone suggests."""
    batch = draw_chunks(data, model.size, config.anchor_chunks, 1, generator)
    newest = model.observation.normalised(batch.seen[:, -1])
    error = functional.mse_loss(model.anchor(newest, batch.code), batch.action)
    return Loss(error, {"action": error})


def flow_stage(
    model: WorldActionModel,
    teacher: WorldActionModel | None,
    data: Demonstrations,
    config: WamConfig,
) -> Stage:
    """Flow matching of both modalities on the demonstrations, and towards a teacher, if any.

    The anchor stays as it is: batches of sequences are small beside those that it learned from.
    """
    modules = nn.ModuleDict({"model": model})
    if teacher is not None:
        modules["projections"] = Projections(model.size, teacher.size)

    def loss(generator: torch.Generator) -> Loss:
        if teacher is None:
            return wam_loss(model, data, config, generator)
        projections = modules["projections"]
        assert isinstance(projections, Projections)
        return taught_loss(model, teacher, projections, data, config, generator)

    return Stage(
        number=1,
        name="flow",
        before=config.anchor_updates,
        updates=config.updates,
        rate=config.learning_rate,
        model=model,
        modules=modules,
        trained=[p for name, p in modules.named_parameters() if ".anchor." not in name],
        loss=loss,
    )


def wam_loss(
    model: WorldActionModel, data: Demonstrations, config: WamConfig, generator: torch.Generator
) -> Loss:
    """Errors of both modalities on a batch that ``generator`` draws."""
    batch, context, pair = _batch(model, data, config, generator)
    error = flow_loss(model, context, batch.code, pair)
    parts = {"action": error.action, "video": error.video}
    return Loss(error.action + config.video_weight * error.video, parts)


def taught_loss(
    model: WorldActionModel,
    teacher: WorldActionModel,
    projections: Projections,
    data: Demonstrations,
    config: WamConfig,
    generator: torch.Generator,
) -> Loss:
    """The same, and how far the model is from its teacher on the same noisy tokens."""
    batch, context, pair = _batch(model, data, config, generator)
    found = model.denoise(context, batch.code, pair.video, pair.action)
    with torch.no_grad():
        its = teacher.context(teacher.observe(batch.seen), batch.ends)
        wanted = teacher.denoise(its, batch.code, pair.video, pair.action)
    error = flow_error(found, pair)
    far = distillation_loss(model, found, wanted, projections, pair)
    video = far.hidden + far.motion + far.video
    taught = far.action + config.video_weight * video
    total = error.action + config.video_weight * error.video + config.teacher_weight * taught
    parts = {"action": error.action, "video": error.video}
    return Loss(total, parts | {f"teacher_{name}": part for name, part in vars(far).items()})


def few_step_stage(model: WorldActionModel, data: Demonstrations, config: WamConfig) -> Stage:
    """Few long action steps towards where many short ones of the same model lead; the ranking.

    The video expert stays as it is, and so do plain short steps, which are practised beside.
    """
    teacher, student = copy.deepcopy(model), copy.deepcopy(model)
    trained = [*few_step_parameters(student), *student.ranker.parameters()]
    for parameter in student.parameters():
        parameter.requires_grad_(any(parameter is each for each in trained))

    def loss(generator: torch.Generator) -> Loss:
        return few_steps_loss(student, teacher, data, config, generator)

    return Stage(
        number=2,
        name="few_step",
        before=config.anchor_updates + config.updates,
        updates=config.few_step_updates,
        rate=config.few_step_rate,
        model=student,
        modules=nn.ModuleDict({"model": student, "teacher": teacher}),
        trained=trained,
        loss=loss,
    )


def few_steps_loss(
    student: WorldActionModel,
    teacher: WorldActionModel,
    data: Demonstrations,
    config: WamConfig,
    generator: torch.Generator,
) -> Loss:
    """Few steps of a kind that ``generator`` draws, plain short steps, and the ranking."""
    dense = replace(config, draw=replace(config.draw, sparse=0.0))
    with torch.no_grad():  # observations are the video expert's, which stays as it is
        batch, context, pair = _batch(student, data, dense, generator)
    kind = int(torch.randint(len(FEW_AND_MANY), (), generator=generator))
    length = int(torch.randint(student.size.chunk // 2 + 1, (), generator=generator))
    noise = torch.randn(batch.action.shape, generator=generator)
    fast, slow = FEW_AND_MANY[kind]
    prefix = batch.action[:, :length] if length else None
    contexts = context, context
    parts = {
        "few_step": few_step_loss(
            student, teacher, contexts, batch.code, noise, fast, slow, prefix
        ),
        "action": flow_loss(student, context, batch.code, pair).action,
        "ranking": ranking_loss(student, context, batch.code, pair),
    }
    return Loss(torch.stack(list(parts.values())).sum(), parts)


def _batch(
    model: WorldActionModel, data: Demonstrations, config: WamConfig, generator: torch.Generator
) -> tuple[Chunks, Context, NoisyPair]:
    batch = draw_chunks(data, model.size, config.sequences, config.chunks, generator)
    context = model.context(model.observe(batch.seen), batch.ends)
    video = model.future.of(context.now, batch.future)
    return batch, context, draw_noisy(video, batch.action, config.draw, generator)
