"""What each token may read, and that reading it once is enough."""

from dataclasses import replace

import pytest
import torch

from sdiwm_model.wam.model import Noisy, WorldActionModel
from sdiwm_model.wam.sizes import PATCH, WAM_SIZES

SIZE = WAM_SIZES["miniature"]
STEPS = 5


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = WorldActionModel(SIZE).eval()
    with torch.no_grad():  # no gate closed, no readout zero: whatever is read is seen
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture
def episode():
    return torch.randn(1, STEPS, SIZE.observation, generator=torch.Generator().manual_seed(1))


def noisy(seed=2, batch=1):
    generator = torch.Generator().manual_seed(seed)
    video = torch.randn(batch, SIZE.video_tokens, PATCH, generator=generator)
    action = torch.randn(batch, SIZE.chunk, SIZE.action, generator=generator)
    half = torch.full((batch, 1), 0.5)
    return Noisy(video, half), Noisy(action, half)


def test_a_rolling_cache_gives_what_computing_the_whole_episode_does(model, episode):
    with torch.no_grad():
        whole = model.observe(episode)
        memory = None
        for step in range(STEPS):
            memory = model.observe(episode[:, step : step + 1], memory).last(SIZE.window)
    torch.testing.assert_close(memory.keys, whole.keys[:, :, -SIZE.window :])
    torch.testing.assert_close(memory.values, whole.values[:, :, -SIZE.window :])
    video, action = noisy()
    c = torch.zeros(1, SIZE.conditioning)
    found = [model.denoise(model.context(m), c, video, action) for m in (memory, whole)]
    torch.testing.assert_close(found[0].action, found[1].action)
    torch.testing.assert_close(found[0].video, found[1].video)


def test_contexts_of_all_steps_at_once_are_those_of_each_step(model, episode):
    """The first steps of an episode have fewer observations than a window."""
    whole = model.context(model.observe(episode), torch.arange(STEPS))
    video, action = noisy(batch=STEPS)
    c = torch.zeros(STEPS, SIZE.conditioning)
    together = model.denoise(whole, c, video, action).action
    for step in range(STEPS):
        alone = model.context(model.observe(episode[:, : step + 1]))
        one = [Noisy(part.x[step : step + 1], part.t[:1]) for part in (video, action)]
        found = model.denoise(alone, c[:1], *one).action
        torch.testing.assert_close(found, together[step : step + 1])


def test_an_observation_outside_every_window_is_forgotten(model, episode):
    changed = episode.clone()
    changed[:, 0] += 1.0
    reach = SIZE.depth * (SIZE.window - 1)  # how far back the last layer's keys can know of
    assert reach < STEPS - 1
    kept, other = model.observe(episode), model.observe(changed)
    torch.testing.assert_close(kept.keys[:, :, -1], other.keys[:, :, -1])
    assert not torch.allclose(kept.keys[:, :, 1], other.keys[:, :, 1])


@pytest.mark.parametrize("reader", ["video", "action"])
def test_a_modality_told_not_to_look_sees_nothing_of_the_other(model, episode, reader):
    context, c = model.context(model.observe(episode)), torch.zeros(1, SIZE.conditioning)
    parts = dict(zip(("video", "action"), noisy(), strict=True))
    other = "action" if reader == "video" else "video"

    def velocity(seed, sees):
        changed = dict(zip(("video", "action"), noisy(seed), strict=True))
        mine = Noisy(parts[reader].x, parts[reader].t, sees=torch.tensor([sees]))
        found = model.denoise(context, c, **{reader: mine, other: changed[other]})
        return getattr(found, reader)

    torch.testing.assert_close(velocity(3, False), velocity(4, False))
    assert not torch.allclose(velocity(3, True), velocity(4, True), atol=1e-3)
    alone = getattr(model.denoise(context, c, **{reader: parts[reader]}), reader)
    torch.testing.assert_close(velocity(3, False), alone)


def test_actions_read_a_future_by_its_keys_and_values_as_if_it_were_there(model, episode):
    """With a future that sees no actions nothing of an earlier pass is out of date."""
    context, c = model.context(model.observe(episode)), torch.zeros(1, SIZE.conditioning)
    video, action = noisy()
    blind = Noisy(video.x, video.t, sees=torch.tensor([False]))
    together = model.denoise(context, c, blind, action)
    later = model.denoise(context, c, action=action, read=together.read)
    torch.testing.assert_close(later.action, together.action)
    assert not torch.allclose(later.action, model.denoise(context, c, action=action).action)


def test_the_goal_moves_actions_and_future(model, episode):
    context = model.context(model.observe(episode))
    video, action = noisy()
    here, there = (
        model.denoise(context, torch.full((1, SIZE.conditioning), x), video, action)
        for x in (0.0, 1.0)
    )
    assert not torch.allclose(here.action, there.action, atol=1e-3)
    assert not torch.allclose(here.video, there.video, atol=1e-3)


def test_a_future_goes_through_tokens_and_back():
    model = WorldActionModel(SIZE)
    model.future.scale.copy_(0.1 + torch.rand(SIZE.frames, SIZE.features))
    now, future = torch.randn(3, SIZE.features), torch.randn(3, SIZE.frames, SIZE.features)
    tokens = model.future.of(now, future)
    assert tokens.shape == (3, SIZE.video_tokens, PATCH)
    torch.testing.assert_close(model.future.features(now, tokens), future)


def test_what_is_told_of_the_newest_observation_moves_the_actions(model, episode):
    """Even where nothing is attended to, by the anchor and by the gates."""
    c, action = torch.zeros(1, SIZE.conditioning), noisy()[1]
    context = model.context(model.observe(episode))
    newest = model.observation.normalised(episode[:, -1])
    torch.testing.assert_close(context.newest, newest)
    other = replace(context, newest=model.observation.normalised(episode[:, 0]))
    here, there = (model.denoise(each, c, action=action).action for each in (context, other))
    anchors = [model.anchor(each.newest, c) for each in (context, other)]
    assert not torch.allclose(*anchors, atol=1e-3)
    assert not torch.allclose(here - anchors[0], there - anchors[1], atol=1e-3)
