"""LeRobot data sets of both versions go both ways, and what is wrong with one is named."""

import json
from functools import partial

import numpy as np
import pytest
import yaml

from sdiwm_model.data.importers import convert
from sdiwm_model.data.importers.columns import ColumnRecording
from sdiwm_model.data.importers.lerobot import writer
from sdiwm_model.data.importers.lerobot.video import VideoFile, pictures_at
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import ShardWriter, read_manifest
from sdiwm_model.errors import SdiwmError

VERSIONS = ("lerobot-v2.1", "lerobot-v3")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def exported(folder, sdiwm, tmp_path):
    """`exported(version)`: the folder of episodes and the data set made of it."""

    def export(version, kind="robot", lossless=True):
        shards, out = folder(kind), tmp_path / "lerobot"
        words = ["data", "export", shards, "--format", version, "--out", out]
        status, said = sdiwm(*words, *(["--lossless"] if lossless else []))
        assert status == 0
        return shards, out, said

    return export


@pytest.mark.parametrize("kind", ["robot", "video"])
def test_lossless_exports_come_back_bit_for_bit(
    exported, sdiwm, tmp_path, assert_same_data, version, kind
):
    shards, dataset, said = exported(version, kind)
    assert said == ""
    assert sdiwm("data", "import", dataset, "--out", tmp_path / "back") == (0, "")
    assert_same_data(shards, tmp_path / "back")


def test_lossy_video_changes_only_pictures_and_says_so(
    exported, sdiwm, tmp_path, assert_same_data, version
):
    shards, dataset, said = exported(version, lossless=False)
    assert "the pictures bit for bit: the video is lossy; --lossless keeps them" in said
    assert sdiwm("data", "import", dataset, "--out", tmp_path / "back")[0] == 0

    def similar(left, right):
        assert left.shape == right.shape
        assert 0 < np.abs(left.astype(int) - right.astype(int)).mean() < 20

    assert_same_data(shards, tmp_path / "back", similar)


def test_version_3_puts_episodes_together_and_begins_new_files_by_size(
    folder, sdiwm, tmp_path, assert_same_data, monkeypatch
):
    monkeypatch.setattr(writer, "DATA_BYTES", 1)
    monkeypatch.setattr(writer, "VIDEO_BYTES", 1)
    shards, out = folder(), tmp_path / "many"
    words = ("data", "export", shards, "--format", "lerobot-v3", "--lossless", "--out")
    assert sdiwm(*words, out)[0] == 0
    assert len(list(out.glob("data/chunk-000/*.parquet"))) == 3
    assert len(list(out.glob("videos/observation.images.front/chunk-000/*.mp4"))) == 3
    sdiwm("data", "import", out, "--out", tmp_path / "back")
    assert_same_data(shards, tmp_path / "back")


def test_without_our_facts_it_is_a_data_set_as_any_other(exported, sdiwm, tmp_path, version):
    shards, dataset, _ = exported(version)
    (dataset / "meta/sdiwm.json").unlink()
    out = tmp_path / "out"
    assert sdiwm("data", "import", dataset, "--out", out) == (0, "")
    for left, right in zip(load_episodes(shards), load_episodes(out), strict=True):
        np.testing.assert_array_equal(left.frames, right.frames)
        np.testing.assert_array_equal(left.proprio, right.proprio)
        np.testing.assert_array_equal(left.action, right.action)  # within [-1, 1] already
        assert right.instruction == left.instruction
        assert (right.goal, right.goal_cost.shape) == (-1, (len(left), 0))
    task = read_manifest(out)["task"]
    assert (task["name"], task["dt"], task["action_limit"]) == ("lerobot", 0.04, [1.0, 1.0])


def test_goals_are_told_by_the_words_of_the_task(exported, sdiwm, tmp_path):
    _, dataset, _ = exported("lerobot-v3")
    config, out = tmp_path / "settings.yaml", tmp_path / "out"
    content = {
        "goal_cost": ["goal_cost"],
        "goal_words": {"red": ["red"], "blue": ["blue"]},
        "task": {"goals": ["red", "blue"], "cost_unit": 0.1},
    }
    config.write_text(yaml.safe_dump(content))
    assert sdiwm("data", "import", dataset, "--config", config, "--out", out)[0] == 0
    assert [episode.goal for episode in load_episodes(out)] == [0, 1, 0]
    assert read_manifest(out)["task"]["train_instructions"] == [
        ["touch the red target"],
        ["touch the blue target"],
    ]


def test_pictures_are_scaled_to_cover_a_size_and_the_centre_is_cut(exported, sdiwm, tmp_path):
    shards, dataset, _ = exported("lerobot-v3")
    config, out = tmp_path / "settings.yaml", tmp_path / "out"
    config.write_text("size: [16, 16]\n")
    assert sdiwm("data", "import", dataset, "--config", config, "--out", out)[0] == 0
    for left, right in zip(load_episodes(shards), load_episodes(out), strict=True):
        assert right.frames.shape == (len(left), 16, 16, 3)
        # 32 x 48 is halved, then 4 columns fall away on either side; smooth parts agree.
        halves = left.frames[:, ::2, 8:40:2].astype(int)
        assert np.median(np.abs(halves - right.frames)) < 6


def damage_video(root):
    path = sorted(root.glob("videos/**/*.mp4"))[-1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_video(root):
    sorted(root.glob("videos/**/*.mp4"))[-1].write_bytes(b"")


def no_video(root):
    sorted(root.glob("videos/**/*.mp4"))[-1].unlink()


def damage_rows(root):
    path = sorted(root.glob("data/**/*.parquet"))[-1]
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_video, "cannot be decoded"),
        (empty_video, "cannot be decoded"),
        (no_video, "is missing"),
        (damage_rows, "is damaged"),
    ],
)
def test_one_damaged_episode_is_named_and_the_others_are_kept(
    exported, sdiwm, tmp_path, damage, sentence
):
    shards, dataset, _ = exported("lerobot-v2.1")
    damage(dataset)
    out = tmp_path / "out"
    status, said = sdiwm("data", "import", dataset, "--out", out)
    assert status == 0
    (reason,) = read_manifest(out)["failures"]
    assert f"{dataset}: episode 2: " in reason
    assert sentence in reason
    assert reason in said
    assert [len(each) for each in load_episodes(out)] == [7, 12]


def test_a_video_that_is_too_short_is_named(tmp_path):
    with VideoFile(tmp_path / "a.mp4", 10, (16, 16), lossless=True) as video:
        video.write(np.arange(5 * 16 * 16 * 3).reshape(5, 16, 16, 3).astype(np.uint8))
    assert len(pictures_at(tmp_path / "a.mp4", [0.1, 0.4], 0.05)) == 2
    with pytest.raises(SdiwmError, match=r"shows nothing at 0\.500 s; is it cut short\?"):
        pictures_at(tmp_path / "a.mp4", [0.3, 0.4, 0.5], 0.05)


def change_info(root, **changes):
    path = root / "meta/info.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: change_info(root, codebase_version="v1.6"), "version 'v1.6' is not read"),
        (lambda root: change_info(root, fps=None), "lacks 'fps'"),
        (lambda root: change_info(root, total_episodes=4), "of 4 episodes, the list holds 3"),
        (lambda root: (root / "meta/info.json").write_text("{"), "not valid JSON"),
        (lambda root: (root / "meta/tasks.parquet").unlink(), "tasks.parquet is missing"),
        (lambda root: (root / "meta/tasks.parquet").write_bytes(b"PAR1"), "is damaged"),
        (lambda root: (root / "meta/sdiwm.json").write_text("[]"), "what sdiwm kept there"),
    ],
)  # fmt: skip
def test_a_damaged_description_is_refused(exported, sdiwm, tmp_path, damage, sentence):
    _, dataset, _ = exported("lerobot-v3")
    damage(dataset)
    status, said = sdiwm("data", "import", dataset, "--out", tmp_path / "out")
    assert status == 2
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_several_cameras_are_asked_about(exported, sdiwm, tmp_path):
    _, dataset, _ = exported("lerobot-v2.1")
    (dataset / "meta/sdiwm.json").unlink()
    info = json.loads((dataset / "meta/info.json").read_text())
    wrist = {"dtype": "video", "shape": [3, 32, 48], "names": ["channels", "height", "width"]}
    change_info(dataset, features=info["features"] | {"observation.images.wrist": wrist})
    status, said = sdiwm("data", "import", dataset, "--out", tmp_path / "out")
    assert status == 2
    assert "several cameras, observation.images.front, observation.images.wrist: name one" in said


def test_a_stopped_import_goes_on_and_gives_the_same(exported, sdiwm, tmp_path, monkeypatch):
    _, dataset, _ = exported("lerobot-v3")
    started = []
    episodes = ColumnRecording.episodes

    def watched(self, start=0):
        started.append(start)
        for number, found in enumerate(episodes(self, start), start):
            if len(started) == 1 and number == 2:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(convert, "ShardWriter", partial(ShardWriter, episodes_per_shard=1))
    monkeypatch.setattr(ColumnRecording, "episodes", watched)
    once, twice = tmp_path / "once", tmp_path / "twice"
    words = ("data", "import", dataset, "--out")
    sdiwm(*words, twice)
    assert not (twice / "manifest.json").exists()
    assert sdiwm(*words, twice)[0] == sdiwm(*words, once)[0] == 0
    assert started[:2] == [0, 1]
    shards = [[each["sha256"] for each in read_manifest(f)["shards"]] for f in (once, twice)]
    assert shards[0] == shards[1]
    assert len(shards[0]) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dt": 0.03}, "no whole number of frames a second"),
        ({"image": (31, 48, 3)}, "needs even sides; use --lossless"),
    ],
)
def test_what_lerobot_cannot_represent_is_refused_in_words(
    sdiwm, tmp_path, folder, changes, sentence
):
    shards, out = folder(**changes), tmp_path / "out"
    status, said = sdiwm("data", "export", shards, "--format", "lerobot-v3", "--out", out)
    assert status == 2
    assert sentence in said
    assert not out.exists()


SHARED_SCRIPT = """
import sys, json, numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
"""

# Rows and descriptions, not pictures: its decoders do not load beside every torch.
THEIR_READER = (
    SHARED_SCRIPT
    + """
data = LeRobotDataset("test/data", root=sys.argv[1], video_backend="pyav")
items = [data.hf_dataset[index] for index in (0, 6, 7, 23)]
tasks = data.meta.tasks
if not isinstance(tasks, dict):  # version 3
    tasks = {int(row.task_index): task for task, row in tasks.iterrows()}
key = data.meta.video_keys[0]
print(json.dumps({"episodes": data.num_episodes, "frames": data.num_frames, "fps": data.fps,
                  "tasks": [tasks[int(item["task_index"])] for item in items],
                  "mean": data.meta.stats["action"]["mean"].tolist(),
                  "video": str(data.meta.get_video_file_path(2, key)),
                  "begin": data.meta.episodes[2].get(f"videos/{key}/from_timestamp")}))
np.savez(sys.argv[2], **{f"{key}-{place}": item[key].numpy() for place, item in enumerate(items)
                         for key in ("observation.state", "action", "goal_cost",
                                     "observation.environment_state")})
"""
)

THEIR_WRITER = (
    SHARED_SCRIPT
    + """
kind = sys.argv[2]
features = {
    "observation.images.top": {"dtype": kind, "shape": (32, 48, 3),
                               "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
    "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
}
data = LeRobotDataset.create("test/data", fps=10, features=features, root=sys.argv[1],
                             use_videos=kind == "video")
given = np.load(sys.argv[3])
for length, task in ((8, "push it"), (5, "pull it")):
    for row in range(length):
        data.add_frame({"observation.images.top": given["frames"][row],
                        "observation.state": given["state"][row],
                        "action": given["action"][row],
                        "next.reward": np.float32([row / 10]), "task": task})
    data.save_episode()
data.finalize()
"""
)


@pytest.mark.parametrize(
    ("version", "variable", "begin"),
    [
        ("lerobot-v3", "SDIWM_LEROBOT_PYTHON", (7 + 12) / 25),
        ("lerobot-v2.1", "SDIWM_LEROBOT21_PYTHON", None),
    ],
)
def test_their_own_library_reads_our_data_set(
    exported, tmp_path, other_python, version, variable, begin
):
    shards, dataset, _ = exported(version, lossless=False)
    said = other_python(variable, THEIR_READER, dataset, tmp_path / "items.npz")
    told = json.loads(said.splitlines()[-1])
    assert (told["episodes"], told["frames"], told["fps"]) == (3, 24, 25)
    assert told["tasks"] == [
        f"touch the {colour} target" for colour in ("red", "red", "blue", "red")
    ]
    episodes = load_episodes(shards)
    assert (dataset / told["video"]).is_file()
    assert told["begin"] == begin
    everything = np.concatenate([episode.action for episode in episodes])
    np.testing.assert_allclose(told["mean"], everything.mean(axis=0), atol=1e-5)
    items = np.load(tmp_path / "items.npz")
    rows = [(0, 0), (0, 6), (1, 0), (2, 4)]
    for place, (index, row) in enumerate(rows):
        episode = episodes[index]
        for key, values in (("observation.state", episode.proprio), ("action", episode.action),
                            ("goal_cost", episode.goal_cost)):  # fmt: skip
            np.testing.assert_array_equal(items[f"{key}-{place}"], values[row])
        assert items[f"observation.environment_state-{place}"] == episode.state[row, 0]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_data_set_that_their_own_library_wrote_becomes_episodes(
    sdiwm, tmp_path, folder, other_python, kind
):
    source = load_episodes(folder())[1]
    given = {"frames": source.frames, "state": source.proprio, "action": 3 * source.action}
    np.savez(tmp_path / "given.npz", **given)
    dataset, out = tmp_path / "theirs", tmp_path / "out"
    other_python("SDIWM_LEROBOT_PYTHON", THEIR_WRITER, dataset, kind, tmp_path / "given.npz")
    config = tmp_path / "settings.yaml"
    config.write_text("reward: next.reward\nbest_reward: 1.0\n")
    assert sdiwm("data", "import", dataset, "--config", config, "--out", out) == (0, "")
    first, second = load_episodes(out)
    assert (len(first), len(second)) == (8, 5)
    assert (first.instruction, second.instruction) == ("push it", "pull it")
    for episode in (first, second):
        wanted = given["frames"][: len(episode)].astype(int)
        difference = np.abs(episode.frames.astype(int) - wanted)
        assert difference.max() == 0 if kind == "image" else difference.mean() < 25
        np.testing.assert_array_equal(episode.proprio, given["state"][: len(episode)])
        limit = np.abs(given["action"][:8]).max(axis=0)
        np.testing.assert_allclose(
            episode.action, given["action"][: len(episode)] / limit, rtol=1e-6
        )
    np.testing.assert_allclose(first.goal_cost[:3, 0], [1.0, 1.0, 0.9], rtol=1e-6)
    assert read_manifest(out)["task"]["dt"] == 0.1
