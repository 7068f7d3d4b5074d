"""Gymnasium rollouts in Minari's files go both ways; what is wrong with them is named."""

import json

import gymnasium
import h5py
import numpy as np
import pytest

from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import read_manifest

minari = pytest.importorskip("minari")
EpisodeBuffer = minari.data_collector.EpisodeBuffer


class Camera(gymnasium.Env):
    """An arm of one joint that is pushed; the picture's brightness tells where it is."""

    def __init__(self, discrete=False, blind=False):
        box = gymnasium.spaces.Box
        spaces = {"joint": box(-9.0, 9.0, (2,), np.float64)}
        if not blind:
            spaces["pixels"] = box(0, 255, (32, 40, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)
        self.action_space = gymnasium.spaces.Discrete(3) if discrete else box(-2.0, 2.0, (1,))
        self.metadata = {"render_modes": []}

    def _seen(self):
        seen = {"joint": np.array([self.place, 0.5])}
        if "pixels" in self.observation_space.spaces:
            seen["pixels"] = np.full((32, 40, 3), 100 + 5 * int(self.place), np.uint8)
        return seen

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return self._seen(), {}

    def step(self, action):
        self.place += 1.0
        return self._seen(), -self.place, self.place == 6, False, {}


def roll_out(env, seed):
    """One episode as Minari's writer takes it, and its actions."""
    seen = [env.reset(seed=seed)[0]]
    actions, rewards, done = [], [], False
    while not done:
        actions.append(env.action_space.sample())
        observation, reward, done, _, _ = env.step(actions[-1])
        seen.append(observation)
        rewards.append(reward)
    ends = np.arange(len(rewards)) == len(rewards) - 1
    return EpisodeBuffer(
        seed=seed,
        observations={name: np.stack([each[name] for each in seen]) for name in seen[0]},
        actions=np.array(actions),
        rewards=rewards,
        terminations=list(ends),
        truncations=[False] * len(rewards),
    )


@pytest.fixture
def rollouts(tmp_path, monkeypatch):
    """`rollouts(raw=…)`: two episodes of six steps, written by Minari itself; and their actions."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def record(raw=True, **kind):
        env = Camera(**kind)
        env.action_space.seed(0)
        episodes = [roll_out(env, seed) for seed in (3, 4)]
        minari.create_dataset_from_buffers(
            "arm/push-v1", episodes, observation_space=env.observation_space, author="a",
            action_space=env.action_space, jpeg_encoding=not raw, author_email="b",
            code_permalink="c", algorithm_name="d",
        )  # fmt: skip
        return tmp_path / "minari/arm/push-v1", np.concatenate([e.actions for e in episodes])

    return record


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("reward: next.reward\ntask: {name: push, dt: 0.05}\n")
    return path


@pytest.mark.parametrize("raw", [True, False])
def test_their_rollouts_become_episodes(rollouts, settings, sdiwm, tmp_path, raw):
    dataset, actions = rollouts(raw)
    out = tmp_path / "out"
    assert sdiwm("data", "import", dataset, "--config", settings, "--out", out) == (0, "")
    first, second = load_episodes(out)
    assert (len(first), first.seed, second.seed) == (7, 3, 4)
    brightness = 100 + 5 * np.arange(7)
    np.testing.assert_allclose(first.frames.mean(axis=(1, 2, 3)), brightness, atol=0 if raw else 2)
    np.testing.assert_array_equal(first.proprio[:, 0], np.arange(7))
    limit = np.abs(actions).max()
    np.testing.assert_allclose(first.action[:-1] * limit, actions[:6], rtol=1e-6)
    assert first.action[-1] == 0.0
    np.testing.assert_array_equal(first.goal_cost[:, 0], [1, 1, 2, 3, 4, 5, 6])
    assert read_manifest(out)["task"]["action_limit"] == [limit]


def test_what_was_exported_comes_back_bit_for_bit(folder, sdiwm, tmp_path, assert_same_data):
    shards, dataset = folder(), tmp_path / "reach-v0"
    assert sdiwm("data", "export", shards, "--format", "minari", "--out", dataset) == (0, "")
    assert sdiwm("data", "import", dataset, "--out", tmp_path / "back") == (0, "")
    assert_same_data(shards, tmp_path / "back")


def test_their_own_library_reads_our_data_set(folder, sdiwm, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    shards, dataset = folder(), tmp_path / "reach-v0"
    sdiwm("data", "export", shards, "--format", "minari", "--out", dataset)
    theirs = minari.load_dataset("reach-v0")
    assert (theirs.total_episodes, theirs.total_steps) == (3, 24 - 3)
    for ours, found in zip(load_episodes(shards), theirs, strict=True):
        np.testing.assert_array_equal(found.observations["image"], ours.frames)
        np.testing.assert_array_equal(found.observations["proprio"], ours.proprio)
        np.testing.assert_array_equal(found.actions, ours.action[:-1])
        np.testing.assert_array_equal(found.rewards, -ours.goal_cost[1:, ours.goal])
        assert found.truncations[-1]
        assert theirs.observation_space["image"].contains(ours.frames[0])


def test_what_minari_cannot_represent_is_refused_in_words(folder, sdiwm, tmp_path):
    for shards, sentence in (
        (folder("video"), "has actions, these episodes have none"),
        (folder(lengths=(4, 1)), "one of these has one step only"),
    ):
        out = tmp_path / "out"
        status, said = sdiwm("data", "export", shards, "--format", "minari", "--out", out)
        assert (status, out.exists()) == (2, False)
        assert sentence in said


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ({"discrete": True}, "only continuous ones can be imported"),
        ({"blind": True}, "has no pictures"),
    ],
)
def test_rollouts_that_make_no_episodes_are_refused(
    rollouts, settings, sdiwm, tmp_path, kind, sentence
):
    dataset, _ = rollouts(**kind)
    status, said = sdiwm("data", "import", dataset, "--config", settings, "--out", tmp_path / "out")
    assert status == 2
    assert sentence in said


def shorten(root):
    with h5py.File(root / "data/main_data.hdf5", "a") as file:
        actions = file["episode_1/actions"][:-1]
        del file["episode_1/actions"]
        file["episode_1/actions"] = actions


def test_an_episode_that_lacks_rows_is_counted(rollouts, settings, sdiwm, tmp_path):
    dataset, _ = rollouts()
    shorten(dataset)
    out = tmp_path / "out"
    assert sdiwm("data", "import", dataset, "--config", settings, "--out", out)[0] == 0
    assert read_manifest(out)["failures"] == [
        f"{dataset}: episode 1: actions has 5 rows, expected 6"
    ]
    assert len(load_episodes(out)) == 1


def lose_an_episode(root):
    with h5py.File(root / "data/main_data.hdf5", "a") as file:
        del file["episode_0"]


def call_it_arrow(root):
    path = root / "data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_format": "arrow"}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lose_an_episode, "holds 1 of 2 episodes"),
        (call_it_arrow, "is stored as 'arrow'"),
        (lambda root: (root / "data/main_data.hdf5").write_bytes(b"?"), "cannot be read"),
        (lambda root: (root / "data/metadata.json").write_text("{"), "not valid JSON"),
    ],
)
def test_a_damaged_data_set_is_refused(rollouts, settings, sdiwm, tmp_path, damage, sentence):
    dataset, _ = rollouts()
    damage(dataset)
    status, said = sdiwm("data", "import", dataset, "--config", settings, "--out", tmp_path / "out")
    assert status == 2
    assert sentence in said
