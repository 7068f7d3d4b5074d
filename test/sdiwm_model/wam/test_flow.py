"""What training shows, and that denoising arrives where the velocities point."""

import pytest
import torch

from sdiwm_model.wam.flow import Draw, draw_noisy, flow_loss, sample
from sdiwm_model.wam.model import Denoised, WorldActionModel
from sdiwm_model.wam.protocols import MODES, StepPair
from sdiwm_model.wam.sizes import PATCH, WAM_SIZES

SIZE = WAM_SIZES["miniature"]
B = 400
PAIRS = [StepPair(v, a) for v in (1, 2, 10) for a in (1, 2, 4, 10)]
PAIRS += [StepPair(0, a, mode) for a in (1, 4) for mode in ("prefill", "policy")]
PAIRS += [StepPair(v, a, "inverse") for v in (1, 10) for a in (1, 4)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data():
    draw = generator(5)
    video = torch.randn(B, SIZE.video_tokens, PATCH, generator=draw)
    return video, torch.rand(B, SIZE.chunk, SIZE.action, generator=draw) * 2 - 1


def test_noisy_tokens_lie_between_noise_and_data():
    video, action = data()
    pair = draw_noisy(video, action, Draw(sparse=0.0), generator())
    arrived = pair.video.x + (1.0 - pair.video.t.unsqueeze(-1)) * pair.video_velocity
    torch.testing.assert_close(arrived, video)
    assert torch.equal(pair.clean_action, action)
    t = pair.action.t.unsqueeze(-1)
    noise = (pair.action.x - t * action)[~pair.committed] / (1.0 - t).expand_as(action)[
        ~pair.committed
    ]
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1.0) < 0.05


def test_shares_of_the_cases_are_those_asked_for():
    draw = Draw(0.2, 0.3, 0.6, 0.1, 0.4, sparse=0.0)
    pair = draw_noisy(*data(), draw, generator())
    shares = {
        "blind_action": ~pair.action.sees,
        "blind_video": ~pair.video.sees,
        "prefix": pair.committed.any(dim=1),
        "clean_video": pair.video.t[:, 0] == 1.0,
        "noise_video": pair.video.t[:, 0] == 0.0,
    }
    for name, cases in shares.items():
        assert abs(cases.float().mean().item() - getattr(draw, name)) < 0.08, name


def test_actions_are_mostly_shown_as_noise_and_futures_at_any_time():
    pair = draw_noisy(*data(), Draw(prefix=0.0, clean_video=0.0, noise_video=0.0), generator())
    assert 0.12 < pair.action.t[:, 0].median() < 0.25
    assert 0.42 < pair.video.t[:, 0].median() < 0.58


def test_modes_whose_cases_are_never_shown_are_not_among_those_trained():
    assert Draw().modes == MODES
    assert Draw(clean_video=0.0).modes == ("joint", "prefill", "policy")
    assert Draw(blind_action=0.0, noise_video=0.0, blind_video=0.0).modes == ("joint",)


def test_a_committed_prefix_is_clean_and_nothing_else_is():
    video, action = data()
    pair = draw_noisy(video, action, Draw(prefix=1.0), generator())
    lengths = pair.committed.sum(dim=1)
    assert lengths.min() == 1 and lengths.max() == SIZE.chunk // 2
    assert torch.equal(pair.committed, torch.arange(SIZE.chunk) < lengths[:, None])
    assert torch.equal(pair.action.x[pair.committed], action[pair.committed])
    assert (pair.action.t[~pair.committed] < 1.0).all()


def test_a_sparse_update_shows_half_of_the_future():
    video, action = data()
    pair = draw_noisy(
        video, action, Draw(sparse=1.0, clean_video=1.0, noise_video=0.0), generator()
    )
    kept = pair.video.kept
    assert kept.shape == (B, SIZE.video_tokens // 2)
    assert (kept.diff(dim=1) > 0).all() and not torch.equal(kept[0], kept[1])
    for i in range(3):
        assert torch.equal(pair.video.x[i], video[i, kept[i]])


def test_clean_futures_and_committed_actions_teach_nothing():
    torch.manual_seed(0)
    model = WorldActionModel(SIZE)
    o, c = torch.randn(B, 1, SIZE.observation), torch.zeros(B, SIZE.conditioning)
    context = model.context(model.observe(o))
    draw = Draw(prefix=1.0, clean_video=1.0, noise_video=0.0)
    pair = draw_noisy(*data(), draw, generator())
    with torch.no_grad():
        before = flow_loss(model, context, c, pair)
        pair.clean_action[pair.committed] += 100.0
        after = flow_loss(model, context, c, pair)
    assert before.video == 0.0
    assert after.action == before.action > 0.1


class Exact:
    """Straight to one known future and one known chunk."""

    def __init__(self, video, action):
        self.ends = video, action
        self.seen, self.spans, self.acted = [], [], []

    def denoise(self, context, c, video=None, action=None, read=None):
        self.seen.append((video is not None, action is not None, read is not None))
        velocity, future = None, self.ends[0]
        if video is not None:
            future = future if video.kept is None else future[:, video.kept]
            velocity = (future - video.x) / (1.0 - video.t).clamp(min=1e-3).unsqueeze(-1)
        if action is not None:
            self.spans.append(action.span[0, 0].item())
            self.acted.append(action)
        clean = None if action is None else self.ends[1]
        return Denoised(velocity, clean, [("k", "v")] if video is not None else read or [], [])


@pytest.mark.parametrize("steps", PAIRS, ids=str)
def test_denoising_arrives(steps):
    video, action = (x[:2] for x in data())
    noise = torch.randn_like(video), torch.randn_like(action)
    model = Exact(video, action)
    found = sample(model, None, None, noise, steps)
    torch.testing.assert_close(found.actions, action, rtol=1e-4, atol=1e-4)
    wanted = video if steps.video else noise[0]
    torch.testing.assert_close(found.video, wanted, rtol=1e-4, atol=1e-4)
    acting = [read or seen for seen, acted, read in model.seen if acted]
    assert len(acting) == steps.action
    assert all(acting) == (steps.mode != "policy")
    for each in model.acted:  # on the straight way from the noise
        t = each.t.unsqueeze(-1)
        torch.testing.assert_close(each.x, (1.0 - t) * noise[1] + t * action, rtol=1e-4, atol=1e-4)


def test_a_chunk_begins_with_its_prefix():
    video, action = (x[:2] for x in data())
    prefix = torch.full((2, 3, SIZE.action), 0.5)
    noise = torch.randn_like(video), torch.randn_like(action)
    found = sample(Exact(video, action), None, None, noise, StepPair(1, 4), prefix)
    assert torch.equal(found.actions[:, :3], prefix)
    torch.testing.assert_close(found.actions[:, 3:], action[:, 3:], rtol=1e-4, atol=1e-4)


def test_dropped_tokens_stay_as_they_are_now():
    video, action = (x[:2] for x in data())
    kept = torch.arange(0, SIZE.video_tokens, 2)
    noise = torch.randn_like(video), torch.randn_like(action)
    found = sample(Exact(video, action), None, None, noise, StepPair(2, 2), kept=kept)
    torch.testing.assert_close(found.video[:, kept], video[:, kept], rtol=1e-4, atol=1e-4)
    assert (found.video[:, 1::2] == 0).all()


def test_a_few_step_head_is_told_how_far_it_goes():
    video, action = (x[:2] for x in data())
    noise = torch.randn_like(video), torch.randn_like(action)
    spans = {}
    for steps, one_step in ((4, False), (4, True), (5, True)):
        model = Exact(video, action)
        sample(model, None, None, noise, StepPair(1, steps), one_step=one_step)
        spans[steps, one_step] = model.spans
    assert spans == {(4, False): [0.0] * 4, (4, True): [0.25] * 4, (5, True): [0.0] * 5}


def test_a_span_changes_the_velocity_once_it_is_learned():
    torch.manual_seed(0)
    model = WorldActionModel(SIZE)
    conditioning = model.action_expert.conditioning
    t, c = torch.full((1, 1), 0.5), torch.zeros(1, SIZE.conditioning)
    newest = torch.zeros(1, SIZE.observation)

    def gates(span):
        return conditioning(t, torch.full((1, 1), span), c, newest)[0]

    torch.nn.init.normal_(conditioning.output.weight)
    assert torch.equal(gates(0.0), gates(1.0))
    torch.nn.init.normal_(conditioning.span.weight)
    assert not torch.allclose(gates(0.0), gates(1.0))
