"""stable-worldmodel's HDF5 files go both ways without a change, and say what is wrong with them."""

import h5py
import numpy as np
import pytest
import yaml

from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import read_manifest

LENGTHS = (6, 4)


def write_theirs(path, **changes):
    """What their recorder writes: pixels, NaN for each last action, a reward; no time step."""
    random = np.random.default_rng(0)
    steps = sum(LENGTHS)
    columns = {
        "pixels": random.integers(0, 256, (steps, 8, 8, 3), np.uint8),
        "proprio": random.uniform(-3, 3, (steps, 2)),
        "action": random.uniform(-4, 4, (steps, 2)).astype(np.float32),
        "reward": random.uniform(-1, 0, steps),
        "ep_len": np.array(LENGTHS, np.int32),
        "ep_offset": np.array([0, LENGTHS[0]], np.int64),
    } | changes
    ends = columns["ep_offset"] + columns["ep_len"] - 1
    columns["action"][ends[ends < steps]] = np.nan
    with h5py.File(path, "w", libver="latest") as file:
        for name, values in columns.items():
            if values is not None:
                file[name] = values
    return columns


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.yaml"

    def write(**content):
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.mark.parametrize("kind", ["robot", "video"])
def test_what_was_exported_comes_back_bit_for_bit(folder, sdiwm, tmp_path, assert_same_data, kind):
    shards = folder(kind)
    file = tmp_path / "data.h5"
    assert sdiwm("data", "export", shards, "--format", "swm-hdf5", "--out", file) == (0, "")
    assert sdiwm("data", "import", file, "--out", tmp_path / "back") == (0, "")
    assert_same_data(shards, tmp_path / "back")


def test_their_file_becomes_episodes(sdiwm, tmp_path, settings):
    theirs = write_theirs(tmp_path / "pusht.h5")
    config = settings(task={"dt": 0.1})
    status, said = sdiwm(
        "data", "import", tmp_path / "pusht.h5", "--config", config, "--out", tmp_path / "out"
    )
    assert (status, said) == (0, "")
    first, second = load_episodes(tmp_path / "out")
    np.testing.assert_array_equal(second.frames, theirs["pixels"][6:])
    np.testing.assert_array_equal(first.proprio, theirs["proprio"][:6].astype(np.float32))
    task = read_manifest(tmp_path / "out")["task"]
    limit = np.nanmax(np.abs(theirs["action"]), axis=0)
    assert task["action_limit"] == limit.tolist()
    np.testing.assert_allclose(first.action[:-1] * limit, theirs["action"][:5], rtol=1e-6)
    np.testing.assert_array_equal(first.action[-1], 0.0)
    assert (task["dt"], task["goals"], first.goal) == (0.1, [], -1)


def test_a_reward_becomes_the_cost_of_one_goal(sdiwm, tmp_path, settings):
    theirs = write_theirs(tmp_path / "pusht.h5")
    config = settings(reward="reward", best_reward=0.5, task={"dt": 0.1, "goals": ["push"]})
    out = tmp_path / "out"
    assert sdiwm("data", "import", tmp_path / "pusht.h5", "--config", config, "--out", out)[0] == 0
    first, _ = load_episodes(out)
    expected = np.float32(0.5) - theirs["reward"][:6, None].astype(np.float32)
    np.testing.assert_array_equal(first.goal_cost, expected)
    assert first.goal == 0


@pytest.mark.parametrize(
    ("changes", "content", "sentence"),
    [
        ({}, {}, "does not tell its time step: give `task.dt`"),
        ({"pixels": None}, {"task": {"dt": 1}}, "has no pictures"),
        ({"wrist": np.zeros((10, 8, 8, 3), np.uint8)}, {"camera": "eye"}, "no column 'eye'"),
        ({}, {"camera": "proprio"}, "no picture"),
        ({}, {"task": {"dt": 0}}, "task.dt is 0"),
        ({}, {"proprio": "proprio"}, "proprio is 'proprio': give a list"),
        ({}, {"speed": 1}, "unknown field 'speed'"),
        ({}, {"task": {"dt": 1, "action_limit": [1.0]}}, "2 numbers an action"),
        ({}, {"task": {"dt": 1, "goals": ["a", "b"]}}, "2 goals, but 0 numbers in `goal_cost`"),
        ({"ep_offset": None}, {"task": {"dt": 1}}, "no recording that can be imported"),
    ],
)
def test_what_is_missing_is_named_before_any_work(
    sdiwm, tmp_path, settings, changes, content, sentence
):
    if changes.get("ep_offset", 0) is None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["ep_len"] = [1]
    else:
        write_theirs(tmp_path / "a.h5", **changes)
    out = tmp_path / "out"
    status, said = sdiwm(
        "data", "import", tmp_path / "a.h5", "--config", settings(**content), "--out", out
    )
    assert status == 2
    assert sentence in said
    assert not out.exists()


def test_an_episode_beyond_the_end_is_counted_and_the_others_are_kept(sdiwm, tmp_path, settings):
    write_theirs(tmp_path / "a.h5", ep_len=np.array([6, 40], np.int32))
    config = settings(task={"dt": 1})
    out = tmp_path / "out"
    status, said = sdiwm("data", "import", tmp_path / "a.h5", "--config", config, "--out", out)
    assert status == 0
    (reason,) = read_manifest(out)["failures"]
    assert "a.h5: episode 1: rows 6 to 46 are not in column" in reason
    assert reason in said
    assert len(load_episodes(out)) == 1


def test_a_torn_file_is_named(sdiwm, tmp_path):
    write_theirs(tmp_path / "a.h5")
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(whole[: len(whole) // 2])
    status, said = sdiwm("data", "import", tmp_path / "a.h5", "--out", tmp_path / "out")
    assert status == 2
    assert "a.h5 cannot be read" in said


def test_nothing_is_left_of_an_export_that_fails(folder, sdiwm, tmp_path):
    shards = folder()
    damaged = sorted(shards.glob("*.parquet"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    file = tmp_path / "exports" / "data.h5"
    status, said = sdiwm("data", "export", shards, "--format", "swm-hdf5", "--out", file)
    assert status == 2
    assert damaged.name in said
    assert list(file.parent.iterdir()) == []


THEIR_READER = """
import sys, numpy as np
from stable_worldmodel.data.formats.hdf5 import HDF5Dataset
data = HDF5Dataset(path=sys.argv[1], num_steps=3)
clip = data[0]
print(len(data), sorted(clip), tuple(clip["pixels"].shape), clip["instruction"])
np.save(sys.argv[2], clip["pixels"].numpy())
"""

THEIR_WRITER = """
import sys, numpy as np
from stable_worldmodel.data.formats.hdf5 import HDF5Writer
data = np.load(sys.argv[1])
with HDF5Writer(sys.argv[2]) as writer:
    for begin, end in ((0, 6), (6, 10)):
        writer.write_episode({name: list(data[name][begin:end]) for name in data.files})
"""


def test_their_own_library_reads_our_file(folder, sdiwm, tmp_path, other_python):
    file, shards = tmp_path / "data.h5", folder()
    sdiwm("data", "export", shards, "--format", "swm-hdf5", "--out", file)
    said = other_python("SDIWM_SWM_PYTHON", THEIR_READER, file, tmp_path / "clip.npy")
    assert "(3, 3, 32, 48) touch the red target" in said
    first = load_episodes(shards)[0].frames[:3]
    np.testing.assert_array_equal(np.load(tmp_path / "clip.npy"), np.moveaxis(first, -1, 1))


def test_a_file_that_their_own_library_wrote_becomes_episodes(
    sdiwm, tmp_path, settings, other_python
):
    theirs = write_theirs(tmp_path / "unused.h5")
    columns = {name: theirs[name] for name in ("pixels", "proprio", "action")}
    np.savez(tmp_path / "columns.npz", **columns)
    other_python("SDIWM_SWM_PYTHON", THEIR_WRITER, tmp_path / "columns.npz", tmp_path / "a.h5")
    config, out = settings(task={"dt": 1}), tmp_path / "out"
    assert sdiwm("data", "import", tmp_path / "a.h5", "--config", config, "--out", out) == (0, "")
    for episode, rows in zip(load_episodes(out), (slice(0, 6), slice(6, 10)), strict=True):
        np.testing.assert_array_equal(episode.frames, theirs["pixels"][rows])
        np.testing.assert_array_equal(episode.proprio, theirs["proprio"][rows].astype(np.float32))
