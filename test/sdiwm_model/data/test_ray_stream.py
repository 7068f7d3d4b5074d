"""Through Ray come the same clips in the same order as from this machine's threads."""

import signal
import threading
from itertools import islice

import numpy as np
import pytest

from sdiwm_model.data import ray_stream
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.ray_session import ensure_ray
from sdiwm_model.data.ray_stream import RayClipLoader
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.data.stream import ClipLoader
from sdiwm_model.data.stream_local import LocalClipLoader, Rank
from sdiwm_model.errors import SdiwmError

pytest.importorskip("ray", reason="Ray is not installed")
STORE = 100_000_000
SPEC = EpisodeSpec(image=(4, 6, 3), proprio=3, action=2, goals=0, state=0, task={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty episodes of 4 to 8 steps in three shards."""
    path = tmp_path_factory.mktemp("ray_stream") / "data"
    rng = np.random.default_rng(0)
    with ShardWriter(path, SPEC, {}, episodes_per_shard=10) as writer:
        for seed in range(30):
            length = 4 + seed % 5
            arrays = [
                rng.uniform(-1, 1, (length, width)).astype(np.float32) for width in (3, 2, 0, 0)
            ]
            frames = rng.integers(0, 256, (length, *SPEC.image), dtype=np.uint8)
            writer.write(Episode(frames, *arrays, "", -1, "random", seed))
    return path


def through_ray(folder, **settings):
    settings = {"frames": 4, "batch": 3, "seed": 5} | settings
    return RayClipLoader(folder, object_store_bytes=STORE, **settings)


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for ours, theirs in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(ours.clip, theirs.clip)
        np.testing.assert_array_equal(ours.first, theirs.first)
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        assert ours.columns.keys() == theirs.columns.keys() == {"proprio", "action"}
        for name, column in ours.columns.items():
            np.testing.assert_array_equal(column, theirs.columns[name])
        assert ours.frames.flags.writeable


def test_batches_and_states_are_those_of_the_local_loader(folder, monkeypatch):
    monkeypatch.setattr(ray_stream, "SEGMENT", 8)  # three Ray data sets, one after another
    monkeypatch.setattr(ray_stream, "LEAD", 3)
    local = LocalClipLoader(folder, frames=4, batch=3, seed=5)
    expected = list(islice(local, 20))
    source = through_ray(folder)
    assert isinstance(source, ClipLoader)
    batches = iter(source)
    assert_same(list(islice(batches, 20)), expected)
    assert source.state_dict() == local.state_dict()
    source.close()


def test_a_state_of_the_local_loader_goes_on_through_ray_at_another_world_size(folder, monkeypatch):
    monkeypatch.setattr(ray_stream, "SEGMENT", 8)
    monkeypatch.setattr(ray_stream, "LEAD", 3)
    local = LocalClipLoader(folder, frames=4, batch=3, seed=5)
    list(islice(local, 5))
    state = local.state_dict()
    expected = list(islice(local, 4))
    ranks = [through_ray(folder, rank=Rank(r, 2), seed=0) for r in range(2)]
    for rank in ranks:
        rank.load_state_dict(state)
    shares = [list(islice(rank, 2)) for rank in ranks]
    assert_same([shares[r][step] for step in range(2) for r in range(2)], expected)
    for rank in ranks:
        rank.close()


def test_a_closed_loader_leaves_no_thread_that_would_call_ray_while_it_shuts_down(folder):
    source = through_ray(folder)
    before = set(threading.enumerate())
    batches = iter(source)
    next(batches)
    assert set(threading.enumerate()) - before
    source.close()
    assert not set(threading.enumerate()) - before


def test_a_damaged_shard_is_named_as_the_local_loader_names_it(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "shard-00001.parquet").unlink()
    with pytest.raises(SdiwmError, match=r"^shard .*shard-00001.parquet is missing"):
        list(islice(through_ray(copy), 30))


def test_a_batch_that_the_object_store_cannot_hold_is_refused(folder):
    with pytest.raises(SdiwmError, match="must fit into Ray's object store"):
        through_ray(folder, batch=100_000)


def test_ray_does_not_change_what_a_signal_to_end_does():
    before = signal.getsignal(signal.SIGTERM)
    ray = ensure_ray(STORE)
    assert ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before
