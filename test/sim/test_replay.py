import sys

import numpy as np
import pytest

from sdiwm_model.data.shards import ShardReader, ShardWriter
from sdiwm_model.errors import SdiwmError
from sdiwm_sim import replay
from sdiwm_sim.collect import episode_spec, record
from sdiwm_sim.mixture import DEFAULT, parse_mixture
from sdiwm_sim.task import make_task


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


@pytest.fixture(scope="module")
def episodes(task):
    return list(record(task, parse_mixture(DEFAULT), 0, 6, 30))


def test_without_errors_the_simulator_repeats_itself(task, episodes):
    for episode in episodes:
        again = replay.replay_episode(task, episode, 25, {}, np.random.default_rng(0))
        assert np.allclose(again.state, episode.state[:26], atol=2e-4)
        assert np.array_equal(again.action, episode.action[:26])
        off = np.abs(again.frames.astype(int) - episode.frames[:26])
        assert off.mean() < 0.05


def test_errors_have_the_size_asked_for_and_leave_the_rest(task, episodes):
    rng = np.random.default_rng(0)
    state = episodes[0].state[0]
    moved = replay.perturbed(task, state, {"pucks": 0.01}, rng) - state
    assert np.linalg.norm(moved[7:].reshape(4, 2), axis=1).mean() == pytest.approx(0.01, rel=1e-3)
    assert not moved[:7].any()


def test_what_cannot_be_replayed_is_refused(task, episodes):
    rng = np.random.default_rng(0)
    with pytest.raises(SdiwmError, match="no 'wheels' in the state"):
        replay.perturbed(task, episodes[0].state[0], {"wheels": 1.0}, rng)
    with pytest.raises(SdiwmError, match="an episode has 30 steps"):
        replay.replay_episode(task, episodes[0], 30, {}, rng)


def test_a_folder_is_replayed_into_another(task, episodes, tmp_path, monkeypatch, capsys):
    with ShardWriter(tmp_path / "data", episode_spec(task), {}) as writer:
        for episode in episodes:
            writer.write(episode)
    arguments = [str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--steps", "25"]
    monkeypatch.setattr(sys, "argv", ["replay", *arguments, "--error", "joints=0.02"])
    assert replay.main() == 0
    reader = ShardReader(tmp_path / "out")
    assert reader.lengths == [26] * 6
    monkeypatch.setattr(sys, "argv", ["replay", *arguments])
    assert replay.main() == 2
    assert "already holds episodes" in capsys.readouterr().err
