import time

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.data.shards import ShardReader
from sdiwm_model.data.verify import verify
from sdiwm_model.errors import SdiwmError
from sdiwm_sim import collect as recording
from sdiwm_sim.mixture import DEFAULT, parse_mixture
from sdiwm_sim.task import make_task


def run(*arguments):
    return cli.main(["collect", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("collect") / "data"
    assert run("--out", out, "--episodes", 12, "--steps", 20, "--seed", 5) == 0
    return out


def test_the_folder_is_sound_and_says_what_is_in_it(folder):
    manifest = verify(folder)
    assert manifest["episodes"] == 12
    assert manifest["frames"] == 240
    assert manifest["provenance"]["seed"] == 5
    assert manifest["provenance"]["mixture"] == pytest.approx(parse_mixture(DEFAULT))
    task = manifest["task"]
    assert (task["name"], task["dt"]) == ("reach", 0.04)
    assert task["goals"] == ["red", "green", "blue", "yellow"]
    assert [each[0] for each in task["train_instructions"]] == [
        f"touch the {goal} target" for goal in task["goals"]
    ]
    assert len(task["unrelated"]) > 50
    assert len(task["action_limit"]) == 4


def test_behaviours_are_mixed_and_seeds_follow_from_the_data_sets(folder):
    episodes = list(ShardReader(folder).episodes())
    assert [episode.seed for episode in episodes] == [5_000_000 + i for i in range(12)]
    assert len({episode.behaviour for episode in episodes}) > 1


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    assert run("--out", tmp_path / "b", "--episodes", 3, "--steps", 20, "--seed", 5) == 0
    first, second = ShardReader(folder), ShardReader(tmp_path / "b")
    for index in range(3):
        a, b = first.read(index), second.read(index)
        for name in first.spec.columns():
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert (a.instruction, a.behaviour) == (b.instruction, b.behaviour)


def test_costs_and_joints_fit_the_state(folder):
    for episode in ShardReader(folder).episodes():
        assert np.allclose(episode.state[:, 3:7], episode.proprio[:, :4], atol=1e-6)
        pucks = episode.state[:, 7:].reshape(-1, 4, 2)
        flat = np.linalg.norm(pucks - episode.state[:, None, :2], axis=-1)
        assert (episode.goal_cost >= flat - 1e-5).all()


def test_replaying_the_actions_gives_the_states(folder):
    episode = next(e for e in ShardReader(folder).episodes() if e.behaviour == "random")
    task = make_task("reach")
    task.reset(episode.seed)
    for t in range(len(episode) - 1):
        for _ in range(task.ticks_per_step):
            task.step(episode.action[t])
        assert np.allclose(task.state(), episode.state[t + 1], atol=1e-5)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("mine")
    assert run("--out", tmp_path, "--episodes", 1) == 2
    assert "exists already: name another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_an_interrupted_collection_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "record_episode", stop)
    assert run("--out", tmp_path / "data", "--episodes", 2) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mixture", "said"),
    [
        ("dance=1", "unknown behaviour 'dance'"),
        ("random", "is not NAME=SHARE"),
        ("random=much", "is not NAME=SHARE"),
        ("random=0", "must be a number above 0"),
        ("random=nan", "must be a number above 0"),
        ("random=1,random=2", "twice"),
        ("", "unknown behaviour ''"),
    ],
)
def test_a_bad_mixture_is_refused(mixture, said, tmp_path, capsys):
    assert run("--out", tmp_path / "data", "--mixture", mixture) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value"), [("--episodes", 0), ("--steps", 1), ("--seed", -1), ("--task", "juggle")]
)
def test_bad_numbers_and_tasks_are_refused(option, value, tmp_path, capsys):
    assert run("--out", tmp_path / "data", option, value) == 2
    assert str(value) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_planner_needs_a_model(tmp_path, capsys):
    arguments = ("--mixture", "planner=1", "--model", tmp_path / "none")
    assert run("--out", tmp_path / "data", *arguments) == 2
    assert "no model bundle" in capsys.readouterr().err
    with pytest.raises(SdiwmError, match="needs a model"):
        next(recording.record(make_task("reach"), {"planner": 1.0}, 0, 1, 2))


def test_shares_are_normalised():
    assert parse_mixture("random=1, scripted=3") == {"random": 0.25, "scripted": 0.75}


def test_the_behaviour_of_an_episode_depends_on_its_seed_alone():
    shares = parse_mixture("random=1,scripted=3")
    names = [recording.behaviour_of(seed, shares) for seed in range(2000)]
    assert names.count("scripted") / 2000 == pytest.approx(0.75, abs=0.04)
    assert names == [recording.behaviour_of(seed, shares) for seed in range(2000)]


def test_a_core_records_300_frames_a_second():
    task, mixture = make_task("reach"), parse_mixture(DEFAULT)
    list(recording.record(task, mixture, 0, 1, 10))
    began = time.process_time()
    frames = sum(len(e) for e in recording.record(task, mixture, 1, 4, 150))
    seconds = time.process_time() - began  # of this process: other people's load does not count
    assert frames / seconds >= 300
