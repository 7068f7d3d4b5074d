"""What a world-action model learns from: clean chunks, seen as the loop sees them."""

import pytest
import torch

from sdiwm_model.checkpoint import load_model
from sdiwm_model.data.episodes import EpisodeSpec
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_model.language import goal_codes
from sdiwm_model.wam.experience import draw_chunks, load_demonstrations
from sdiwm_model.wam.sizes import size_for

LEAD_IN = 12


@pytest.fixture(scope="module")
def world(random_bundle):
    return load_model(random_bundle)[0]


@pytest.fixture(scope="module")
def data(demonstrations, world):
    return load_demonstrations([demonstrations], world)


@pytest.fixture(scope="module")
def size(world):
    return size_for(world.size, "miniature", window=3)


def test_episodes_that_are_no_demonstrations_are_left_out(data, demonstrations):
    episodes = load_episodes(demonstrations)
    wanted = [e for e in episodes if e.behaviour == "demonstration"]
    assert 0 < len(wanted) < len(episodes)
    assert data.lengths.tolist() == [30] * len(wanted)
    assert data.code.equal(goal_codes(4, 16)[[e.goal for e in wanted]])
    assert data.action[30:60].equal(torch.from_numpy(wanted[1].action))


def test_an_observation_is_latent_features_and_normalised_joints(data, demonstrations, world):
    episode = next(e for e in load_episodes(demonstrations) if e.behaviour == "demonstration")
    features = world.vision(torch.from_numpy(episode.frames[4:6]))
    proprio = torch.from_numpy(episode.proprio[5:6])
    joints = world.fusion.normalise(proprio)
    for kind, seen in ((0, features[1:]), (1, features[:1])):  # in time, then lagging
        wanted = torch.cat([world.fusion(seen, proprio), seen, joints], dim=-1)[0]
        assert torch.allclose(data.observation[kind, 5], wanted, atol=1e-5)


def place_of(row, table):
    """Index of the last row of ``table`` (N, D) that equals ``row``: some begin standing still."""
    return int((table == row).all(dim=-1).nonzero()[-1])


def test_a_chunk_begins_at_a_clean_step_of_what_is_seen_then(data, size):
    for number in range(20):
        drawn = draw_chunks(data, size, 2, 3, torch.Generator().manual_seed(number))
        newest = drawn.seen[:, drawn.ends].flatten(0, 1)
        for i in range(6):
            kind = 0 if (data.observation[0] == newest[i]).all(dim=-1).any() else 1
            step = place_of(newest[i], data.observation[kind])
            assert step % 30 >= LEAD_IN
            assert drawn.action[i].equal(data.action[step : step + size.chunk])
            later = step + size.stride * torch.arange(1, size.frames + 1)
            assert drawn.future[i].equal(data.features[later])
            assert later[-1] // 30 == step // 30
            assert drawn.code[i].equal(data.code[step // 30])


def test_some_updates_look_back_on_a_whole_window_and_some_on_less(data, size):
    draws = [draw_chunks(data, size, 2, 3, torch.Generator().manual_seed(n)) for n in range(30)]
    assert {int(drawn.ends[0]) for drawn in draws} == {0, 1, 2}
    assert all(drawn.seen.shape[1] == drawn.ends[-1] + 1 for drawn in draws)


def test_demonstrations_too_short_for_the_chunks_are_refused(data, size):
    with pytest.raises(SdiwmError, match="of which 12 lead in: too few for 'chunks' = 12"):
        draw_chunks(data, size, 2, 12, torch.Generator())


def written(folder, demonstrations, behaviour="demonstration", **facts):
    """The data's first episode in a folder of its own, with other facts."""
    episode = load_episodes(demonstrations)[0]
    episode.behaviour = behaviour
    task = {"name": "reach", "camera_lags": False} | facts
    with ShardWriter(folder, EpisodeSpec(task=task), {}) as writer:
        writer.write(episode)
    return folder


@pytest.mark.parametrize(
    ("behaviour", "facts", "said"),
    [
        ("random", {"imitate_from": 12}, "holds no demonstration: collect some"),
        ("demonstration", {}, "does not say from which step on"),
        ("demonstration", {"goal_modality": "image"}, "takes words"),
    ],
)
def test_data_without_demonstrations_is_refused(
    tmp_path, demonstrations, world, behaviour, facts, said
):
    folder = written(tmp_path / "data", demonstrations, behaviour, **facts)
    with pytest.raises(SdiwmError, match=said):
        load_demonstrations([folder], world)


def test_observations_are_shown_as_of_a_robot_at_rest_too(random_bundle, demonstrations, data):
    """Its latent too is the one that the loop would see, were the robot at rest."""
    model, _ = load_model(random_bundle)
    size = model.size
    half = size.proprio // 2
    both = load_demonstrations([demonstrations], model, [half, size.proprio])
    kinds = len(data.observation)
    assert len(both.observation) == 2 * kinds
    assert torch.equal(both.observation[:kinds], data.observation)
    still = both.observation[kinds]
    joints = still[:, size.latent + size.features :]
    speeds = joints * model.fusion.proprio_std + model.fusion.proprio_mean
    assert speeds[:, half:].abs().max() < 1e-5
    torch.testing.assert_close(joints[:, :half], data.observation[0][:, -size.proprio :][:, :half])
    features = still[:, size.latent :][:, : size.features]
    seen = model.fusion(features, speeds)
    torch.testing.assert_close(still[:, : size.latent], seen, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("speeds", [[4], [4, 9], [4, 4], [-1, 4]])
def test_speeds_that_are_not_in_proprio_are_refused(random_bundle, demonstrations, speeds):
    with pytest.raises(SdiwmError, match="setting 'speeds' is .*: use"):
        load_demonstrations([demonstrations], load_model(random_bundle)[0], speeds)
