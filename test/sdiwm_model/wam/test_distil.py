"""Losses of distillation: zero where nothing is left to learn, and lower once it is learned."""

from dataclasses import replace

import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.wam.distil import (
    Projections,
    check_teacher,
    distillation_loss,
    few_step_loss,
    few_step_parameters,
    ranking_loss,
)
from sdiwm_model.wam.flow import Draw, draw_noisy
from sdiwm_model.wam.model import WorldActionModel
from sdiwm_model.wam.protocols import StepPair
from sdiwm_model.wam.sizes import PATCH, WAM_SIZES

SIZE = WAM_SIZES["miniature"]
TEACHER = replace(SIZE, depth=4, video_width=24, window=3)
B = 12


def lively(size, seed=0, by=0.1):
    torch.manual_seed(seed)
    model = WorldActionModel(size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return model


def context_of(model):
    o = torch.randn(B, 3, SIZE.observation, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return model.context(model.observe(o))


def noisy_pair(**draw):
    generator = torch.Generator().manual_seed(4)
    video = torch.randn(B, SIZE.video_tokens, PATCH, generator=generator)
    action = torch.rand(B, SIZE.chunk, SIZE.action, generator=generator)
    return draw_noisy(video, action, Draw(**draw), generator)


C = torch.randn(B, SIZE.conditioning, generator=torch.Generator().manual_seed(6))
NOISE = torch.randn(B, SIZE.chunk, SIZE.action, generator=torch.Generator().manual_seed(7))


def distilled(student, teacher, projections, pair):
    found = student.denoise(context_of(student), C, pair.video, pair.action)
    with torch.no_grad():
        wanted = teacher.denoise(context_of(teacher), C, pair.video, pair.action)
    return vars(distillation_loss(student, found, wanted, projections, pair))


@pytest.mark.parametrize("sparse", [0.0, 1.0])
def test_a_student_that_is_its_teacher_has_nothing_left_to_learn_but_the_projections(sparse):
    student = lively(SIZE)
    found = distilled(student, student, Projections(SIZE, SIZE), noisy_pair(sparse=sparse))
    assert found["video"] == found["action"] == found["motion"] == 0.0
    assert found["hidden"] > 0.1


def test_another_student_differs_from_its_teacher_and_gradients_reach_only_the_student():
    student, teacher = lively(SIZE), lively(TEACHER, seed=1)
    projections = Projections(SIZE, TEACHER)
    found = distilled(student, teacher, projections, noisy_pair(sparse=0.0))
    assert all(value > 1e-4 for value in found.values())
    sum(found.values()).backward()
    assert all(p.grad is None for p in teacher.parameters())
    for module in (projections, student.video_expert.layers, student.action_expert.layers):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_motion_counts_changes_between_moments_and_not_what_stays():
    """A future that is wrong by the same amount at every moment has moved wrongly only once."""
    student = lively(SIZE)
    teacher = lively(SIZE)
    pair = noisy_pair(sparse=0.0, clean_video=0.0, noise_video=1.0)
    with torch.no_grad():
        teacher.future.write.bias += 1.0  # of every token alike, at all moments
    steady = distilled(student, teacher, Projections(SIZE, SIZE), pair)
    assert steady["video"].item() == pytest.approx(1.0, rel=1e-4)
    assert steady["motion"].item() == pytest.approx(1.0 / SIZE.frames, rel=1e-4)


def test_clean_futures_and_committed_actions_are_not_compared():
    student, teacher = lively(SIZE), lively(TEACHER, seed=1)
    pair = noisy_pair(clean_video=1.0, noise_video=0.0)
    everything = replace(pair, committed=torch.ones_like(pair.committed))
    found = distilled(student, teacher, Projections(SIZE, TEACHER), everything)
    assert found["video"] == found["motion"] == found["action"] == 0.0


@pytest.mark.parametrize("field", ["chunk", "frames"])
def test_a_teacher_of_other_tokens_is_refused(field):
    other = replace(TEACHER, **{field: 4})
    with pytest.raises(SdiwmError, match=f"the teacher's {field} is 4"):
        check_teacher(WorldActionModel(SIZE), WorldActionModel(other))


def test_a_teacher_of_other_units_is_refused():
    teacher = WorldActionModel(TEACHER)
    check_teacher(WorldActionModel(SIZE), teacher)
    teacher.future.scale.fill_(2.0)
    with pytest.raises(SdiwmError, match="other data"):
        check_teacher(WorldActionModel(SIZE), teacher)


def test_few_steps_that_are_the_teacher_s_own_differ_by_nothing():
    teacher = lively(SIZE)
    contexts = context_of(teacher), context_of(teacher)
    torch.nn.init.zeros_(teacher.action_expert.conditioning.span.weight)
    slow = StepPair(1, 4)
    assert few_step_loss(teacher, teacher, contexts, C, NOISE, slow, slow) < 1e-12
    fast = StepPair(1, 1)
    assert few_step_loss(teacher, teacher, contexts, C, NOISE, fast, slow) > 1e-6


def test_one_step_learns_where_many_steps_lead():
    teacher, student = lively(SIZE), lively(SIZE)
    contexts = context_of(student), context_of(teacher)
    video_before = [p.clone() for p in student.video_expert.parameters()]
    optimiser = torch.optim.Adam(few_step_parameters(student), lr=1e-2)
    prefix = torch.zeros(B, 2, SIZE.action)
    losses = []
    for _ in range(30):
        steps = StepPair(1, 1), StepPair(1, 3)
        loss = few_step_loss(student, teacher, contexts, C, NOISE, *steps, prefix)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    after = student.video_expert.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, video_before, strict=True))


def test_the_ranker_learns_which_tokens_the_actions_read():
    model = lively(SIZE, by=0.2)
    context, pair = context_of(model), noisy_pair(sparse=0.0, blind_action=0.0)
    optimiser = torch.optim.Adam(model.ranker.parameters(), lr=1e-2)
    for _ in range(25):
        loss = ranking_loss(model, context, C, pair)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    named = model.named_parameters()
    assert all(p.grad is None for name, p in named if not name.startswith("ranker"))

    def effect(order):
        """Mean square change of the actions where only the first half of ``order`` is read."""
        kept = order[:, : SIZE.video_tokens // 2].sort(dim=1).values
        x = pair.video.x.gather(1, kept.unsqueeze(-1).expand(-1, -1, PATCH))
        some = replace(pair.video, x=x, kept=kept)
        whole = model.denoise(context, C, pair.video, pair.action).action
        return (model.denoise(context, C, some, pair.action).action - whole).square().mean()

    with torch.no_grad():
        scores = model.rank(context, C)
        assert effect((-scores).argsort(dim=1)) < 0.5 * effect(scores.argsort(dim=1))
