import json

import numpy as np
import pytest

pytest.importorskip("mujoco")
from sdiwm_model.errors import SdiwmError
from sdiwm_model.film import write_film
from sdiwm_sim.video import CAPTION, END_HOLD, film, read_run, write_histogram

SIZE = 96
SECONDS = 0.4  # 10 frames of 40 ms


@pytest.fixture(params=[0.005, 0.004])
def folder(tmp_path, request):
    """A run of one episode in which the first joint turns, with an imagined path after 0.1 s."""
    tick = request.param
    ticks = round(SECONDS / tick)
    episode = {
        "seed": 3, "goal": 1, "instruction": "touch the green one", "first_tick": 0,
        "ticks": ticks, "changes": [[ticks // 2, 2, "now the blue one"]], "success": True,
        "time_to_success": 0.4, "wrong_target": False, "nearest": "blue", "complete": True,
    }  # fmt: skip
    episodes = [episode, episode | {"complete": False}]
    header = {"task": "reach", "physics_dt": tick, "episodes": episodes}
    stamps = np.arange(ticks) * int(tick * 1e9)
    commands = np.stack([stamps + 2_000_000, stamps, stamps * 0, stamps * 0], axis=1)
    actions = np.tile(np.array([0.5, 0, 0, 0], np.float32), (ticks, 1))
    np.savez(
        tmp_path / "simulator.npz", json=np.array(json.dumps(header)), tick_ns=stamps,
        actions=actions, commands=commands,
    )  # fmt: skip
    points = np.linspace([0.2, 0, 0.2], [0.3, 0.1, 0.05], 17)[None].astype(np.float32)
    np.savez(tmp_path / "imagined.npz", stamp_ns=stamps[ticks // 4 : ticks // 4 + 1], points=points)
    return tmp_path


def test_only_complete_episodes_are_filmed_at_real_speed(folder):
    frames = list(film(read_run(folder), SIZE))
    assert len(frames) == 10 + END_HOLD
    assert all(frame.shape == (SIZE + CAPTION, SIZE, 3) for frame in frames)


def test_the_imagined_path_is_in_the_picture_while_it_is_fresh(folder):
    frames = list(film(read_run(folder), SIZE))
    magenta = [(frame[:SIZE] == (255, 64, 220)).all(axis=-1).any() for frame in frames]
    assert magenta == [False, False] + [True] * 6 + [False] * (2 + END_HOLD)


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_film_is_written_whole(folder, name):
    assert write_film(film(read_run(folder), SIZE), folder / name, 25) > 0
    assert (folder / name).stat().st_size > 1000
    assert not list(folder.glob("*.part*"))


def test_a_histogram_is_written(folder):
    write_histogram(read_run(folder), folder / "latency.png")
    assert (folder / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_film_or_no_run_is_refused_in_words(folder, tmp_path):
    with pytest.raises(SdiwmError, match=r"\.mp4 or \.gif"):
        write_film(film(read_run(folder), SIZE), folder / "film.avi", 25)
    (folder / "simulator.npz").write_bytes(b"damaged")
    with pytest.raises(SdiwmError, match=r"simulator\.npz"):
        read_run(folder)
