"""Latent prediction learns from clips alone, and sees no more of them than it may."""

import pytest
import torch

from sdiwm_model.errors import SdiwmError
from sdiwm_model.pretraining.masking import split_places
from sdiwm_model.pretraining.objective import LatentPrediction, participation_ratio
from sdiwm_model.pretraining.protocols import Objective
from sdiwm_model.pretraining.settings import ObjectiveSettings
from sdiwm_model.pretraining.tokens import grid_edge, token_maker
from sdiwm_model.sizes import ModelSize, find_size

FRAMES = 4
SIZES = {name: find_size(name) for name in ("miniature", "miniature_teacher")}
SIZES["mobilenet"] = ModelSize(encoder="mobilenet", channels=(4, 8), keypoints=8)


def objective(name, updates=100, **changes):
    torch.manual_seed(0)
    narrow = {"predictor_width": 32, "predictor_depth": 1, "predictor_heads": 2}
    collapse = 0.0 if SIZES[name].encoder == "vit" else 1.0
    settings = {**narrow, "anti_collapse_weight": collapse, **changes}
    return LatentPrediction(SIZES[name], ObjectiveSettings(**settings), FRAMES, 1, updates)


def rolling_balls(clips, seed):
    """A ball that moves with constant velocity over a plain ground, (clips, FRAMES, 64, 64, 3)."""
    generator = torch.Generator().manual_seed(seed)
    first = 12 + 40 * torch.rand(clips, 1, 2, generator=generator)
    speed = 6 * torch.rand(clips, 1, 2, generator=generator) - 3
    centre = first + speed * torch.arange(FRAMES).view(1, -1, 1)
    axis = torch.arange(64.0)
    away = (axis.view(1, 1, -1, 1) - centre[..., 0, None, None]) ** 2
    away = away + (axis.view(1, 1, 1, -1) - centre[..., 1, None, None]) ** 2
    ball = (200 * torch.exp(-away / 40)).unsqueeze(-1)
    return (30 + ball * torch.tensor([1.0, 0.6, 0.2])).to(torch.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", SIZES)
def test_hidden_pixels_do_not_reach_the_encoder_and_seen_ones_do(name):
    torch.manual_seed(0)
    size = SIZES[name]
    encoder, edge = token_maker(size), grid_edge(size)
    seen, hidden = split_places(2, edge, 0.5, generator())
    pictures = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8, generator=generator())

    def repainted(places):
        cells = torch.zeros(2, edge * edge).scatter(1, places, 1.0).view(2, edge, edge, 1)
        painted = cells.repeat_interleave(64 // edge, 1).repeat_interleave(64 // edge, 2) > 0
        return torch.where(painted, pictures // 2, pictures)

    tokens = encoder(pictures, seen)
    assert torch.equal(encoder(repainted(hidden), seen), tokens)
    assert not torch.equal(encoder(repainted(seen), seen), tokens)


@pytest.mark.parametrize("name", SIZES)
def test_the_encoder_learns_and_the_target_only_follows(name):
    made = objective(name, updates=10, momentum=0.9)
    assert isinstance(made, Objective)
    loss = made.loss({"image": rolling_balls(3, 0)}, 0, generator())
    loss.total.backward()
    used = [p.grad is not None for p in made.modules()["encoder"].parameters()]
    assert sum(used) >= 0.75 * len(used)  # a vision transformer's readers are not asked
    target = made.targets()["encoder"]
    assert all(p.grad is None for p in target.parameters())
    with torch.no_grad():
        for parameter in made.modules()["encoder"].parameters():
            parameter += 1.0
    before = [p.clone() for p in target.parameters()]
    made.after_update(5)
    moved = [(p - b).flatten() for p, b in zip(target.parameters(), before, strict=True)]
    torch.testing.assert_close(torch.cat(moved), torch.full_like(torch.cat(moved), 0.1 * 0.5))


@pytest.mark.parametrize("name", ["miniature", "miniature_teacher"])
def test_it_foresees_the_future_better_the_longer_it_trains_and_does_not_collapse(name):
    made = objective(name, updates=60)
    optimiser = torch.optim.AdamW(made.modules().parameters(), 2e-3)
    future, ranks = [], []
    for step in range(60):
        loss = made.loss({"image": rolling_balls(8, step)}, step, generator(step))
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        made.after_update(step)
        future.append(loss.parts["future"].item())
        ranks.append(loss.parts["rank"].item())
    assert sum(future[-10:]) < 0.95 * sum(future[:10])
    assert ranks[-1] > 1.5


def test_the_same_generator_gives_the_same_loss_and_another_masks_otherwise():
    made, clips = objective("miniature_teacher"), {"image": rolling_balls(3, 0)}
    first = made.loss(clips, 0, generator(5)).total
    assert torch.equal(first, made.loss(clips, 0, generator(5)).total)
    assert not torch.equal(first, made.loss(clips, 0, generator(6)).total)


@pytest.mark.parametrize("name", ["miniature", "miniature_teacher"])
def test_it_runs_without_memory_for_plans(name):
    with torch.device("meta"):
        made = objective(name)
        clips = torch.empty(2, FRAMES, 64, 64, 3, dtype=torch.uint8)
    assert made.loss({"image": clips}, 0, generator()).total.is_meta


def test_nothing_hidden_is_future_prediction_alone():
    parts = objective("miniature_teacher", hidden=0.0).loss(
        {"image": rolling_balls(2, 0)}, 0, generator()
    ).parts  # fmt: skip
    assert "masked" not in parts
    assert parts["future"].isfinite()


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"past": 0.0}, "'past' is 0.0"), ({"past": 1.0}, "'past' is 1.0"),
     ({"hidden": 1.0}, "'hidden'"), ({"predictor_width": 36}, "multiple of 8")],
)  # fmt: skip
def test_settings_that_leave_nothing_to_do_are_refused(changes, named):
    with pytest.raises(SdiwmError, match=named):
        objective("miniature", **changes)


def test_the_participation_ratio_counts_directions_and_not_places():
    places = torch.randn(1, 1, 5, 8, generator=generator()).expand(40, 5, -1, -1)
    assert participation_ratio(places) < 0.1
    varied = places.clone()
    varied[..., :3] += torch.randn(40, 5, 5, 3, generator=generator())
    assert participation_ratio(varied) == pytest.approx(3, abs=0.1)


def test_tokens_that_tell_no_more_than_their_place_cost_a_transformer_most():
    made = objective("miniature_teacher", anti_collapse_weight=1.0)
    alike = rolling_balls(1, 0).expand(6, -1, -1, -1, -1)
    still = made.loss({"image": alike[:, :1].expand(-1, FRAMES, -1, -1, -1)}, 0, generator())
    different = made.loss({"image": rolling_balls(6, 0)}, 0, generator())
    assert still.parts["anti_collapse"] > different.parts["anti_collapse"]
