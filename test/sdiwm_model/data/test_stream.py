"""Clips come in one global order, whole, whatever reads them and wherever it stopped before."""

import pickle
import threading
from itertools import islice

import numpy as np
import pytest

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.shards import ShardReader, ShardWriter
from sdiwm_model.data.stream import ClipLoader
from sdiwm_model.data.stream_local import LocalClipLoader, Rank
from sdiwm_model.data.stream_order import GlobalOrder
from sdiwm_model.data.stream_reader import ClipReader
from sdiwm_model.errors import SdiwmError

SPEC = EpisodeSpec(image=(4, 6, 3), proprio=3, action=2, goals=4, state=5, task={"name": "reach"})
LENGTHS = (9, 4, 3, 8, 13, 5)  # 2 + 1 + 0 + 2 + 3 + 1 = 9 clips of 4
CLIPS = 9


def make_episode(length, seed):
    rng = np.random.default_rng(seed)
    arrays = {
        name: (
            rng.integers(0, 256, (length, *shape), dtype=np.uint8)
            if dtype == "|u1"
            else rng.uniform(-1, 1, (length, *shape)).astype(np.float32)
        )
        for name, (dtype, shape) in SPEC.columns().items()
    }
    return Episode(**arrays, instruction="touch", goal=0, behaviour="random", seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six episodes in three shards."""
    path = tmp_path_factory.mktemp("stream") / "data"
    with ShardWriter(path, SPEC, {}, episodes_per_shard=2) as writer:
        for seed, length in enumerate(LENGTHS):
            writer.write(make_episode(length, seed))
    return path


def loader(folder, **settings):
    return LocalClipLoader(folder, **{"frames": 4, "batch": 2, "seed": 5, "threads": 2} | settings)


def take(source, count):
    """The next batches; the loader stays where they end."""
    return list(islice(source, count))


def numbers(batches):
    return [int(clip) for batch in batches for clip in batch.clip]


def test_the_local_loader_is_a_clip_loader(folder):
    assert isinstance(loader(folder), ClipLoader)


def test_every_clip_is_the_bytes_of_its_episode(folder):
    episodes = list(ShardReader(folder).episodes())
    begins = [(episode, k) for episode, n in enumerate(LENGTHS) for k in range(n // 4)]
    source = loader(folder)
    for batch in take(source, 20):
        for row, (clip, first) in enumerate(zip(batch.clip, batch.first, strict=True)):
            episode, k = begins[clip]
            assert 4 * k <= first <= LENGTHS[episode] - 4
            seen = slice(first, first + 4)
            np.testing.assert_array_equal(batch.frames[row], episodes[episode].frames[seen])
            assert set(batch.columns) == {"proprio", "action", "goal_cost", "state"}
            for name, column in batch.columns.items():
                np.testing.assert_array_equal(column[row], getattr(episodes[episode], name)[seen])
    source.close()


def test_each_epoch_has_every_clip_once_in_another_order_and_none_is_dropped(folder):
    source = loader(folder)
    seen = numbers(take(source, 18))  # 36 clips: four epochs, batches across their borders
    epochs = [seen[CLIPS * e : CLIPS * (e + 1)] for e in range(4)]
    assert all(sorted(epoch) == list(range(CLIPS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    source.close()


def test_what_an_episode_has_left_over_is_seen_in_other_epochs(folder):
    reader = ClipReader(folder, 4)
    batch = reader.empty(1)
    steps = set()
    for epoch in range(40):
        reader.read_into(batch, 0, clip=0, seed=0, epoch=epoch)
        steps |= set(range(int(batch.first[0]), int(batch.first[0]) + 4))
        reader.read_into(batch, 0, clip=1, seed=0, epoch=epoch)
        steps |= set(range(int(batch.first[0]), int(batch.first[0]) + 4))
    assert steps == set(range(9))


def test_ranks_share_each_step_of_the_order_that_one_rank_walks(folder):
    alone = numbers(take(loader(folder, batch=4), 9))
    ranks = [take(loader(folder, rank=Rank(r, 2)), 9) for r in range(2)]
    together = [numbers([ranks[r][step]]) for step in range(9) for r in range(2)]
    assert [clip for part in together for clip in part] == alone


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_stopped_run_goes_on_at_any_world_size_with_the_next_clips(folder, world):
    uninterrupted = numbers(take(loader(folder, batch=1), 60))
    first = [loader(folder, rank=Rank(r, 2)) for r in range(2)]
    for source in first:
        take(source, 3)
    states = [source.state_dict() for source in first]
    assert states[0] == states[1]
    assert (states[0]["epoch"], states[0]["sample"], states[0]["seed"]) == (1, 3, 5)
    going_on = [loader(folder, rank=Rank(r, world), seed=99) for r in range(world)]
    for source in going_on:
        source.load_state_dict(states[0])
    shares = [take(source, 4) for source in going_on]
    after = [numbers([shares[r][step]]) for step in range(4) for r in range(world)]
    assert [c for part in after for c in part] == uninterrupted[12 : 12 + 8 * world]


def test_a_resumed_run_reads_the_same_bytes(folder):
    whole = take(loader(folder), 8)
    source = loader(folder)
    take(source, 3)
    resumed = loader(folder)
    resumed.load_state_dict(source.state_dict())
    for ours, theirs in zip(take(resumed, 5), whole[3:], strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.first, theirs.first)


def test_the_state_counts_what_was_handed_out_not_what_was_read_ahead(folder):
    source = loader(folder, ahead_bytes=10**6)
    take(source, 1)
    assert source.state_dict()["sample"] == 2


def test_reading_ahead_is_bounded_in_bytes(folder, monkeypatch):
    read = []
    original = ClipReader.read_into
    done = threading.Event()

    def counted(self, batch, place, clip, seed, epoch):
        original(self, batch, place, clip, seed, epoch)
        read.append(clip)
        if len(read) == 8:
            done.set()

    monkeypatch.setattr(ClipReader, "read_into", counted)
    clip_bytes = ClipReader(folder, 4).clip_bytes
    source = loader(folder, ahead_bytes=3 * 2 * clip_bytes)  # three batches of two
    batches = iter(source)
    next(batches)
    assert done.wait(5)
    source.close()
    assert len(read) == 8  # the one handed out, and three


def test_the_order_is_known_from_the_seed_alone_and_stays_as_it_was():
    order = GlobalOrder(10, 0, "")
    assert order.at(0, 10)[1].tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert order.at(5, 10)[0].tolist() == [0] * 5 + [1] * 5
    assert GlobalOrder(10, 1, "").at(0, 10)[1].tolist() != order.at(0, 10)[1].tolist()


def test_a_state_of_other_data_is_refused(folder, tmp_path):
    with ShardWriter(tmp_path / "other", SPEC, {}) as writer:
        writer.write(make_episode(36, 3))
    other = loader(tmp_path / "other")
    assert other.clips == CLIPS
    for foreign in (other, loader(folder, frames=2)):
        with pytest.raises(SdiwmError, match="belongs to other data or another clip length"):
            loader(folder).load_state_dict(foreign.state_dict())
    with pytest.raises(SdiwmError, match="lacks or spoils 'epoch'"):
        loader(folder).load_state_dict({"sample": 3})


def test_video_without_robot_columns_gives_frames_alone(tmp_path):
    frames = np.arange(60, dtype=np.uint8).reshape(5, 2, 2, 3)
    write_video(tmp_path / "video", frames, "raw")
    (batch,) = take(loader(tmp_path / "video", frames=5, batch=1), 1)
    np.testing.assert_array_equal(batch.frames[0], frames)
    assert batch.columns == {}


def test_jpeg_frames_are_those_that_the_shard_reader_decodes(tmp_path):
    y, x = np.mgrid[:16, :24]
    picture = np.stack([x * 10, y * 15, x + y], -1)
    frames = np.stack([(picture + 8 * step) % 256 for step in range(7)]).astype(np.uint8)
    write_video(tmp_path / "video", frames, "jpeg")
    expected = ShardReader(tmp_path / "video").read(0).frames
    firsts = set()
    for batch in take(loader(tmp_path / "video", frames=4, batch=1), 12):
        first = int(batch.first[0])
        firsts.add(first)
        np.testing.assert_array_equal(batch.frames[0], expected[first : first + 4])
    assert len(firsts) > 1
    shard = tmp_path / "video" / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SdiwmError, match="shard-00000.parquet"):
        take(loader(tmp_path / "video", frames=4, batch=1), 1)


def write_video(folder, frames, encoding):
    spec = EpisodeSpec(
        image=frames.shape[1:], proprio=0, action=0, goals=0, state=0, task={}, encoding=encoding
    )
    none = np.zeros((len(frames), 0), np.float32)
    with ShardWriter(folder, spec, {}) as writer:
        writer.write(Episode(frames, none, none, none, none, "", -1, "video", 0))


def test_a_reader_can_travel_to_another_process(folder):
    reader = pickle.loads(pickle.dumps(ClipReader(folder, 4)))  # noqa: S301
    batch, same = reader.empty(1), reader.empty(1)
    reader.read_into(batch, 0, 5, 1, 0)
    ClipReader(folder, 4).read_into(same, 0, 5, 1, 0)
    np.testing.assert_array_equal(batch.frames, same.frames)


def test_nonsense_is_refused_before_any_reading(folder):
    with pytest.raises(SdiwmError, match="no episode of .* has 50 frames"):
        loader(folder, frames=50)
    with pytest.raises(SdiwmError, match="a batch of 0 clips"):
        loader(folder, batch=0)
    with pytest.raises(SdiwmError, match="rank 2 of 2 does not exist"):
        Rank(2, 2)


def test_episodes_below_a_clip_are_counted(folder):
    source = loader(folder)
    assert (source.clips, source.short) == (CLIPS, 1)


def copy_of(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("damage", ["missing", "cut", "rubbish"])
def test_a_damaged_shard_is_named_while_reading(folder, tmp_path, damage):
    copy = copy_of(folder, tmp_path / "copy")
    shard = copy / "shard-00001.parquet"
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        shard.write_bytes(bytes(shard.stat().st_size))
    source = loader(copy)
    with pytest.raises(SdiwmError, match="shard-00001.parquet"):
        take(source, 9)
