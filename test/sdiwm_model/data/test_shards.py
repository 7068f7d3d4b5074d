"""Episodes come back from disk as they went there, and damage is named."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.shards import MANIFEST, ShardReader, ShardWriter, read_manifest
from sdiwm_model.data.verify import verify
from sdiwm_model.errors import SdiwmError

SPEC = EpisodeSpec(
    image=(4, 6, 3), proprio=3, action=2, goals=4, state=5, task={"name": "reach", "dt": 0.04}
)
FIELDS = ("frames", "proprio", "action", "goal_cost", "state")


def make_episode(length: int, seed: int, instruction: str = "touch the red target") -> Episode:
    random = np.random.default_rng(seed)
    arrays = {
        name: (
            random.integers(0, 256, (length, *shape), dtype=np.uint8)
            if dtype == "|u1"
            else random.uniform(-1, 1, (length, *shape)).astype(np.float32)
        )
        for name, (dtype, shape) in SPEC.columns().items()
    }
    return Episode(
        **arrays, instruction=instruction, goal=seed % SPEC.goals, behaviour="random", seed=seed
    )


def write(folder: Path, episodes: list[Episode], per_shard: int = 2) -> None:
    with ShardWriter(folder, SPEC, {"command": "test"}, episodes_per_shard=per_shard) as writer:
        for episode in episodes:
            writer.write(episode)


def assert_equal(left: Episode, right: Episode) -> None:
    for name in FIELDS:
        a, b = getattr(left, name), getattr(right, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert (left.instruction, left.goal, left.behaviour, left.seed) == (
        right.instruction,
        right.goal,
        right.behaviour,
        right.seed,
    )


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    per_shard=st.integers(1, 4),
    instruction=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_episodes_survive_the_round_trip(lengths, per_shard, instruction):
    episodes = [make_episode(n, seed, instruction) for seed, n in enumerate(lengths)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "data", episodes, per_shard)
        manifest = verify(Path(folder) / "data")
        loaded = load_episodes(Path(folder) / "data")
    assert manifest["episodes"] == len(episodes)
    assert manifest["frames"] == sum(lengths)
    assert len(loaded) == len(episodes)
    for before, after in zip(episodes, loaded, strict=True):
        assert_equal(before, after)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "data"
    write(folder, [make_episode(3, seed) for seed in range(3)])
    return folder


def copy_of(folder: Path, target: str) -> Path:
    copy = Path(target) / "data"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_and_the_file_named(sound, data):
    name = data.draw(st.sampled_from(sorted(path.name for path in sound.iterdir())))
    content = bytearray((sound / name).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as target:
        folder = copy_of(sound, target)
        (folder / name).write_bytes(content)
        with pytest.raises(SdiwmError, match=name):
            verify(folder)
        with pytest.raises(SdiwmError, match=name):
            load_episodes(folder)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_truncation_is_found_and_the_file_named(sound, data):
    name = data.draw(st.sampled_from(sorted(path.name for path in sound.iterdir())))
    content = (sound / name).read_bytes()
    with tempfile.TemporaryDirectory() as target:
        folder = copy_of(sound, target)
        (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(SdiwmError, match=name):
            verify(folder)


def test_a_missing_folder_shard_or_manifest_is_named_with_a_remedy(sound, tmp_path):
    with pytest.raises(SdiwmError, match="nowhere does not exist; write one with `sdiwm collect`"):
        read_manifest(tmp_path / "nowhere")
    folder = copy_of(sound, str(tmp_path))
    (folder / "shard-00001.parquet").unlink()
    with pytest.raises(SdiwmError, match="shard-00001.parquet is missing; collect or import"):
        load_episodes(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(SdiwmError, match="manifest.json is missing; collect or import"):
        load_episodes(folder)


def test_a_shard_that_the_manifest_does_not_know_is_named(sound, tmp_path):
    folder = copy_of(sound, str(tmp_path))
    (folder / "shard-00009.parquet").write_bytes(b"")
    with pytest.raises(SdiwmError, match="shard-00009.parquet is not in the manifest"):
        verify(folder)


def test_another_format_version_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr("sdiwm_model.data.manifest.FORMAT_VERSION", 3)
    write(tmp_path / "data", [make_episode(1, 0)])
    monkeypatch.undo()
    with pytest.raises(SdiwmError, match="format_version 3, this program reads 1, 2"):
        read_manifest(tmp_path / "data")


def test_a_failed_collection_leaves_no_file_behind(tmp_path):
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, SPEC, {}, 1) as writer:
        writer.write(make_episode(2, 0))
        raise RuntimeError("the simulator died")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_episodes_is_not_overwritten(sound):
    before = {path.name: path.read_bytes() for path in sound.iterdir()}
    with pytest.raises(SdiwmError, match="already holds episodes"):
        write(sound, [make_episode(1, 0)])
    assert {path.name: path.read_bytes() for path in sound.iterdir()} == before


def test_folders_of_one_shape_read_as_one_and_of_two_shapes_are_refused(sound, tmp_path):
    write(tmp_path / "more", [make_episode(5, 7)])
    reader = ShardReader([sound, tmp_path / "more"])
    assert len(reader) == 4
    assert reader.lengths == [3, 3, 3, 5]
    assert reader.task == {"name": "reach", "dt": 0.04}
    assert_equal(reader.read(3), make_episode(5, 7))
    with ShardWriter(tmp_path / "other", EpisodeSpec(), {}):
        pass
    with pytest.raises(SdiwmError, match="other shapes"):
        ShardReader([sound, tmp_path / "other"])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("frames", np.zeros((2, 4, 6, 3), np.float32), "'frames' is float32"),
        ("proprio", np.zeros((2, 9), np.float32), r"'proprio' is float32 \(2, 9\)"),
        ("state", np.full((2, 5), np.nan, np.float32), "'state' holds NaN"),
        ("action", np.full((2, 2), 1.5, np.float32), r"'action' leaves \[-1, 1\]"),
        ("goal", 4, "'goal' is 4"),
    ],
)
def test_an_episode_that_does_not_fit_is_refused_by_field(tmp_path, field, value, sentence):
    episode = make_episode(2, 0)
    setattr(episode, field, value)
    with pytest.raises(SdiwmError, match=sentence):
        write(tmp_path / "data", [episode])


def test_arrays_are_stored_raw_with_dtype_and_shape_in_the_schema(sound):
    file = pq.ParquetFile(sound / "shard-00000.parquet")
    described = json.loads(file.schema_arrow.metadata[b"sdiwm.columns"])
    assert described["frames"] == {"dtype": "|u1", "shape": [4, 6, 3], "encoding": "raw"}
    assert file.num_row_groups == 2
    for index in range(file.metadata.num_columns):
        column = file.metadata.row_group(0).column(index)
        assert column.compression == "UNCOMPRESSED"
        assert not any("DICTIONARY" in encoding for encoding in column.encodings)
    assert str(file.schema_arrow.field("frames").type) == "large_binary"
