"""A stopped import keeps its finished shards and ends with the bytes of an unbroken one."""

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.loader import load_episodes
from sdiwm_model.data.manifest import JOURNAL
from sdiwm_model.data.shards import MANIFEST, ShardReader, ShardWriter, read_manifest
from sdiwm_model.data.verify import verify
from sdiwm_model.errors import SdiwmError

VIDEO = EpisodeSpec(image=(16, 16, 3), proprio=0, action=0, goals=0, state=0, task={"name": "v"})
EVENTS = 11
HERE = Path(__file__).parent


def clip(number: int, length: int = 4) -> Episode:
    rng = np.random.default_rng(number)
    frames = rng.integers(0, 256, (length, 16, 16, 3), np.uint8)
    none = np.zeros((length, 0), np.float32)
    return Episode(
        frames, none, none, none, none, "pouring", -1, "video", number, f"{number}.mp4", 0.5
    )


def ingest(folder, stop_after=EVENTS, spec=VIDEO, provenance=None, **bounds):
    """Every third event is a failure; `stop_after` events the process dies of an exception."""
    bounds = {"episodes_per_shard": 2, **bounds}
    given = provenance or {"sources": ["a"], "command": "import"}
    with ShardWriter(folder, spec, given, resumable=True, **bounds) as writer:
        begin = 0 if writer.place is None else writer.place + 1
        for event in range(begin, EVENTS):
            if event == stop_after:
                raise RuntimeError("stopped")
            if event % 3 == 2:
                writer.record_failure(f"{event}.mp4: no frame could be decoded", place=event)
            else:
                writer.write(clip(event), place=event)
    return begin


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "data"
    assert ingest(folder) == 0
    return folder


@pytest.mark.parametrize("stop_after", range(EVENTS))
def test_stopped_anywhere_it_goes_on_and_writes_the_same_bytes(unbroken, tmp_path, stop_after):
    with pytest.raises(RuntimeError):
        ingest(tmp_path / "data", stop_after)
    if stop_after > 4:
        with pytest.raises(SdiwmError, match="stopped before its end; give the same"):
            read_manifest(tmp_path / "data")
        kept = {name for name in content(tmp_path / "data") if name.startswith("shard")}
        assert kept
        assert ingest(tmp_path / "data") > 0
    else:
        ingest(tmp_path / "data")
    assert content(tmp_path / "data") == content(unbroken)
    assert len(verify(tmp_path / "data")["failures"]) == 3


def test_killed_while_writing_it_goes_on_behind_the_last_whole_shard(unbroken, tmp_path):
    """kill -9 leaves a part of a shard and, at worst, a torn line."""
    folder = tmp_path / "data"
    script = """
        import os, sys
        sys.path.insert(0, sys.argv[2])
        import test_resumable_shards as t
        real = t.clip
        def clip(number):
            if number == 7:
                os.kill(os.getpid(), 9)
            return real(number)
        t.clip = clip
        t.ingest(__import__("pathlib").Path(sys.argv[1]))
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(folder), str(HERE)]
    assert subprocess.run(arguments).returncode == -9
    assert (folder / ".shard-00002.part.parquet").exists()
    with (folder / JOURNAL).open("ab") as stream:
        stream.write(b'{"shard": {"file": "shard-0000')
    assert ingest(folder) == 6
    assert content(folder) == content(unbroken)


def test_a_shard_that_the_power_cut_took_is_written_again(unbroken, tmp_path):
    with pytest.raises(RuntimeError):
        ingest(tmp_path / "data", 10)
    (tmp_path / "data" / "shard-00001.parquet").write_bytes(b"")
    assert ingest(tmp_path / "data") == 3
    assert content(tmp_path / "data") == content(unbroken)


def test_another_import_is_refused_an_unfinished_folder(tmp_path):
    with pytest.raises(RuntimeError):
        ingest(tmp_path / "data", 10)
    before = content(tmp_path / "data")
    with pytest.raises(SdiwmError, match="differs from this one in its sources"):
        ingest(tmp_path / "data", provenance={"sources": ["b"]})
    with pytest.raises(SdiwmError, match="differs from this one in its spec"):
        ingest(tmp_path / "data", spec=replace(VIDEO, encoding="jpeg"))
    assert content(tmp_path / "data") == before


def test_where_nothing_was_finished_another_import_may_begin(unbroken, tmp_path):
    folder = tmp_path / "data"
    with ShardWriter(folder, replace(VIDEO, encoding="jpeg"), {}, resumable=True):
        left = (folder / JOURNAL).read_bytes()  # what a kill leaves
    (folder / MANIFEST).unlink()
    (folder / JOURNAL).write_bytes(left)
    assert ingest(folder) == 0
    assert content(folder) == content(unbroken)


def test_two_imports_never_write_to_one_folder_at_once(tmp_path):
    with ShardWriter(tmp_path, VIDEO, {}, resumable=True) as writer:
        writer.write(clip(0))
        with (
            pytest.raises(SdiwmError, match="another import is writing"),
            ShardWriter(tmp_path, VIDEO, {}, resumable=True),
        ):
            pass
    assert len(load_episodes(tmp_path)) == 1


def test_a_full_disk_is_named_and_loses_nothing_that_was_finished(unbroken, tmp_path):
    """The limit on a file's size raises where a full disk does: in the middle of a write."""
    folder = tmp_path / "data"
    script = """
        import resource, sys
        sys.path.insert(0, sys.argv[2])
        import test_resumable_shards as t
        t.VIDEO  # imported before the limit
        real = t.clip
        def clip(number):
            if number == 7:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            return real(number)
        t.clip = clip
        try:
            t.ingest(__import__("pathlib").Path(sys.argv[1]))
        except t.SdiwmError as error:
            print(error)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(folder), str(HERE)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert f"shard {folder / 'shard-00002.parquet'} cannot be written" in done.stdout
    assert "make room on that disk and give the same command again" in done.stdout
    assert {"shard-00000.parquet", "shard-00001.parquet", JOURNAL} == set(content(folder))
    assert ingest(folder) == 6
    assert content(folder) == content(unbroken)


def test_shards_are_bounded_by_bytes(tmp_path):
    one = 4 * 16 * 16 * 3
    ingest(tmp_path / "data", episodes_per_shard=100, bytes_per_shard=3 * one + 600)
    manifest = verify(tmp_path / "data")
    assert [len(shard["lengths"]) for shard in manifest["shards"]] == [3, 3, 2]
    sizes = [(tmp_path / "data" / shard["file"]).stat().st_size for shard in manifest["shards"]]
    assert sizes == [shard["bytes"] for shard in manifest["shards"]]


def test_where_a_clip_comes_from_is_kept(unbroken):
    read = ShardReader(unbroken).read(1)
    assert (read.source, read.start, read.goal, read.instruction) == ("1.mp4", 0.5, -1, "pouring")
    assert read.action.shape == (4, 0)


def test_jpeg_frames_come_back_alike_and_small_damage_is_found(tmp_path):
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    smooth = np.stack([np.stack([x * 3, y * 3, x + y + t], axis=-1) for t in range(5)])
    spec = replace(VIDEO, image=(64, 64, 3), encoding="jpeg")
    none = np.zeros((5, 0), np.float32)
    with ShardWriter(tmp_path / "data", spec, {}) as writer:
        writer.write(Episode(smooth, none, none, none, none, "", -1, "video", 0))
    assert verify(tmp_path / "data")["shards"][0]["bytes"] < smooth.nbytes / 2
    read = ShardReader(tmp_path / "data").read(0).frames
    assert read.shape == smooth.shape
    assert np.abs(read.astype(int) - smooth).max() <= 12


def test_any_of_the_jpeg_frames_is_decoded_alone():
    from sdiwm_model.data.frame_codec import decode_jpeg, encode_jpeg

    frames = clip(3, length=6).frames
    data = encode_jpeg(frames)
    np.testing.assert_array_equal(decode_jpeg(data, 6, 2, 4), decode_jpeg(data, 6)[2:4])
    with pytest.raises(SdiwmError, match="damaged table"):
        decode_jpeg(data[:-1], 6)
    with pytest.raises(SdiwmError, match="no table of 6000"):
        decode_jpeg(data[:100], 6000)


def test_every_damaged_shard_and_its_hurt_episodes_are_named(unbroken, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, data in content(unbroken).items():
        (folder / name).write_bytes(data)
    for name, episode in (("shard-00000.parquet", 3), ("shard-00002.parquet", 7)):
        data = (folder / name).read_bytes()
        pixels = clip(1 if episode == 3 else 6).frames.tobytes()
        at = data.index(pixels) + 100
        (folder / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(SdiwmError) as raised:
        verify(folder)
    first, second = str(raised.value).splitlines()
    assert "shard-00000.parquet is damaged" in first
    assert first.endswith("hurt are 1 of its 2 episodes: 1")
    assert "shard-00002.parquet is damaged" in second
    assert "hurt are 1 of its 2 episodes: 0; 2 of 4 shards are sound" in second


def test_folders_of_the_first_format_still_load(unbroken, tmp_path):
    """Version 1 knew no source: the two columns and the encoding are missing there."""
    import hashlib

    import pyarrow.parquet as pq

    from sdiwm_model.data.manifest import with_checksum
    from sdiwm_model.files import write_json

    manifest = json.loads((unbroken / MANIFEST).read_text())
    manifest["format_version"] = 1
    manifest["spec"].pop("encoding")
    for shard in manifest["shards"]:
        table = pq.read_table(unbroken / shard["file"]).drop_columns(["source", "start"])
        path = tmp_path / shard["file"]
        pq.write_table(table, path, row_group_size=1, compression="NONE", use_dictionary=False)
        shard["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        shard["bytes"] = path.stat().st_size
    write_json(tmp_path / MANIFEST, with_checksum(manifest))
    verify(tmp_path)
    for old, new in zip(load_episodes(tmp_path), load_episodes(unbroken), strict=True):
        np.testing.assert_array_equal(old.frames, new.frames)
        assert (old.seed, old.source) == (new.seed, "")
