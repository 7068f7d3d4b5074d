"""Folders of episodes to export, how two are compared; and the tests find `videos` beside them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdiwm_model import cli
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import ShardWriter, read_manifest

sys.path.append(str(Path(__file__).parent))

TASK = {
    "name": "reach",
    "dt": 0.04,
    "goals": ["red", "blue"],
    "action_limit": [1.5, 0.5],
    "cost_unit": 0.1,
    "goal_modality": "words",
    "cameras": ["front"],
    "train_instructions": [["touch red"], ["touch blue"]],
    "unrelated": ["sing"],
}
ROBOT = EpisodeSpec(image=(32, 48, 3), proprio=3, action=2, goals=2, state=1, task=TASK)
VIDEO = EpisodeSpec(
    image=(32, 48, 3),
    proprio=0,
    action=0,
    goals=0,
    state=0,
    task={"name": "film", "dt": 0.25, "goals": []},
)
ARRAYS = ("frames", "proprio", "action", "goal_cost", "state")


def make_episode(spec, length, seed):
    """Smooth moving pictures, so that a video codec has something to keep, and random numbers."""
    random = np.random.default_rng(seed)
    height, width, _ = spec.image
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    frames = [
        np.stack([x * 3 + 5 * t, y * 4 + 3 * t, (x + y) * 2 + 50 * seed], axis=-1) % 256
        for t in range(length)
    ]
    vectors = {
        name: random.uniform(-1, 1, (length, getattr(spec, width))).astype(np.float32)
        for name, width in (
            ("proprio", "proprio"),
            ("action", "action"),
            ("goal_cost", "goals"),
            ("state", "state"),
        )
    }
    goal = seed % spec.goals if spec.goals else -1
    return Episode(
        frames=np.array(frames, np.uint8),
        **vectors,
        instruction=f"touch the {'blue' if goal else 'red'} target",
        goal=goal,
        behaviour=("random", "scripted")[seed % 2],
        seed=seed + 100,
    )


@pytest.fixture
def folder(tmp_path):
    """`folder("robot" or "video")`: three episodes of 7, 12 and 5 steps as shards.

    `image` and facts of the task may differ from those of this file.
    """

    def write(kind="robot", lengths=(7, 12, 5), image=None, **facts):
        spec = {"robot": ROBOT, "video": VIDEO}[kind]
        spec = replace(spec, image=image or spec.image, task=spec.task | facts)
        path = tmp_path / f"shards-{spec.task['name']}"
        with ShardWriter(path, spec, {"command": "test"}, episodes_per_shard=2) as writer:
            for seed, length in enumerate(lengths):
                writer.write(make_episode(spec, length, seed))
        return path

    return write


@pytest.fixture
def sdiwm(capsys):
    """`sdiwm(*words)`: run the command; exit status, and what it said on stderr."""

    def run(*words):
        status = cli.main([str(word) for word in words])
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def assert_same_data():
    """Two folders hold the same episodes and facts; where from may differ."""

    def compare(first, second, pictures=np.testing.assert_array_equal):
        one, other = load_episodes(first), load_episodes(second)
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            pictures(left.frames, right.frames)
            for name in ARRAYS[1:]:
                assert getattr(right, name).dtype == np.float32
                np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
            for name in ("instruction", "goal", "behaviour", "seed"):
                assert getattr(left, name) == getattr(right, name)
        before, after = read_manifest(first), read_manifest(second)
        assert after["task"] == before["task"]
        assert after["spec"] == before["spec"]
        assert after["failures"] == []

    return compare


@pytest.fixture
def other_python():
    """Runs a script with another interpreter, which has a library that cannot be ours.

    `other_python(variable, script, *arguments)`: the environment variable names the interpreter.
    """

    def run(variable, script, *arguments):
        python = os.environ.get(variable)
        if not python:
            pytest.skip(f"{variable} names no Python that has the library")
        command = [python, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
